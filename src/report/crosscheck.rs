//! What a crosscheck found, for people.

use super::text::{align_right, table};
use record::{ComponentCheck, Crosscheck, Finding};

/// A table for each component: first what differs, with the reasons below.
pub fn text(check: &Crosscheck) -> String {
    let seconds = check.closed.duration_since(check.opened).as_secs_f64();
    let mut text = format!("window {seconds:.1} s\n");
    for component in &check.components {
        component_text(&mut text, component);
    }
    if !check.values.is_empty() {
        text.push_str("\nfrom the components' own metrics:\n");
    }
    for (name, value) in &check.values {
        put_line!(text, "  {name}: {value:.4}");
    }
    for problem in &check.problems {
        put_line!(text, "\nNOT VALID: {problem}");
    }
    text
}

fn component_text(text: &mut String, component: &ComponentCheck) {
    let endpoints = component.endpoints.join(", ");
    let counter = component.counter.as_deref();
    let counter = counter.unwrap_or("IT HAS NO COUNTER OF ITS CALLS");
    put_line!(text, "\n{} ({endpoints}): {counter}", component.component);
    if component.rows.is_empty() {
        return;
    }
    let mut table = table(&["RESOURCE", "VERB", "CODE", "WIRE", "OWN", "DIFFERENCE", ""]);
    let mut rows: Vec<_> = component.rows.iter().collect();
    rows.sort_by_key(|row| row.finding == Finding::Equal);
    for row in rows {
        let wire = match row.at_the_ends {
            0 => row.wire.to_string(),
            ends => format!("{}..{}", row.wire - ends, row.wire),
        };
        let (difference, finding) = match row.finding {
            Finding::Equal => (String::new(), ""),
            Finding::Missed => (format!("{:+}", row.difference), "missed"),
            Finding::Allowed => (format!("{:+}", row.difference), "missed, as allowed"),
            Finding::Invented => (format!("{:+}", row.difference), "invented"),
        };
        table.add_row([
            row.resource.clone(),
            row.verb.clone(),
            row.code.clone(),
            wire,
            row.own.to_string(),
            difference,
            finding.to_owned(),
        ]);
    }
    align_right(&mut table, &[3, 4, 5]);
    table.put(text, "");
    for row in component.rows.iter().filter(|row| !row.why.is_empty()) {
        put_line!(
            text,
            "{} {} {}: {}",
            row.verb,
            row.resource,
            row.code,
            row.why
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use record::{CROSSCHECK_SCHEMA, CrosscheckRow};

    #[test]
    fn what_differs_comes_first_and_has_its_reason() {
        let row = |resource: &str, code: &str, wire, at_the_ends, own, finding| CrosscheckRow {
            resource: resource.to_owned(),
            verb: "CREATE".to_owned(),
            code: code.to_owned(),
            wire,
            at_the_ends,
            own,
            difference: if finding == Finding::Equal { 0 } else { -5 },
            finding,
            why: match finding {
                Finding::Equal => String::new(),
                _ => "made by a client without the counter".to_owned(),
            },
        };
        let component = |rows, counter: Option<&str>| ComponentCheck {
            component: "virt-api".to_owned(),
            endpoints: vec!["https://a/metrics".to_owned()],
            counter: counter.map(str::to_owned),
            rows,
        };
        let rows = vec![
            row("pods", "201", 14, 2, 13, Finding::Equal),
            row("subjectaccessreviews", "201", 5, 0, 0, Finding::Missed),
        ];
        let check = Crosscheck {
            schema: CROSSCHECK_SCHEMA.to_owned(),
            opened: "2026-01-01T00:00:00Z".parse().unwrap(),
            closed: "2026-01-01T00:00:02.5Z".parse().unwrap(),
            problems: vec!["the books overflowed".to_owned()],
            components: vec![
                component(rows, Some("kubevirt_rest_client_requests_total")),
                component(Vec::new(), None),
            ],
            values: BTreeMap::from([("avgVirtAPICPUUsage".to_owned(), 0.25)]),
            exit_code: 4,
            child_exit_code: None,
        };
        insta::assert_snapshot!(text(&check), @r"
        window 2.5 s

        virt-api (https://a/metrics): kubevirt_rest_client_requests_total
        RESOURCE              VERB    CODE    WIRE  OWN  DIFFERENCE
        subjectaccessreviews  CREATE  201        5    0          -5  missed
        pods                  CREATE  201   12..14   13
        CREATE subjectaccessreviews 201: made by a client without the counter

        virt-api (https://a/metrics): IT HAS NO COUNTER OF ITS CALLS

        from the components' own metrics:
          avgVirtAPICPUUsage: 0.2500

        NOT VALID: the books overflowed
        ");
    }
}
