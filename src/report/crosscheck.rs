//! What a crosscheck found, for people.

use std::fmt::Write as _;

use super::text::{align_right, table};
use crate::record::{ComponentCheck, Crosscheck, Finding};

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
        let _ = writeln!(text, "  {name}: {value:.4}");
    }
    for problem in &check.problems {
        let _ = writeln!(text, "\nNOT VALID: {problem}");
    }
    text
}

fn component_text(text: &mut String, component: &ComponentCheck) {
    let endpoints = component.endpoints.join(", ");
    let counter = component.counter.as_deref();
    let counter = counter.unwrap_or("IT HAS NO COUNTER OF ITS CALLS");
    let _ = writeln!(text, "\n{} ({endpoints}): {counter}", component.component);
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
    let _ = writeln!(text, "{table}");
    for row in component.rows.iter().filter(|row| !row.why.is_empty()) {
        let _ = writeln!(
            text,
            "{} {} {}: {}",
            row.verb, row.resource, row.code, row.why
        );
    }
}
