//! The findings of a run in words.

use jiff::Unit;

use crate::number::{detailed, grouped};
use record::{CallFinding, FindingChange, FindingChangeKind};

/// What findings are of.
#[derive(Debug, Clone, Copy)]
pub struct Of<'r> {
    /// The run's id.
    pub run: &'r str,
    /// What was run.
    pub scenario: &'r str,
    /// Whether KubeVirt was simulated.
    pub simulated: bool,
    /// All calls among which they were found.
    pub calls: u64,
}

impl Of<'_> {
    fn title(&self) -> String {
        let simulated = if self.simulated {
            ", KubeVirt SIMULATED"
        } else {
            ""
        };
        format!("{}{simulated}   run {}", self.scenario, self.run)
    }
}

/// Findings for a terminal: of each its numbers, why, and a call to look up.
pub fn text(of: &Of<'_>, findings: &[CallFinding]) -> String {
    let mut text = String::new();
    put_line!(text, "{}", of.title());
    put_line!(text, "{}", sum(of, findings));
    for finding in findings {
        put_line!(text, "\n{}", head(finding));
        put_line!(text, "  {}", finding.detail);
        put_line!(text, "  {}", example(finding));
    }
    text
}

/// The same as Markdown, a row each.
pub fn markdown(of: &Of<'_>, findings: &[CallFinding]) -> String {
    let mut text = String::new();
    put_line!(text, "### {}", of.title());
    put_line!(text, "\n{}", sum(of, findings));
    if findings.is_empty() {
        return text;
    }
    put_line!(
        text,
        "\n| calls | could go | finding | component | call | code | per object | why |"
    );
    put_line!(text, "| ---: | ---: | --- | --- | --- | --- | ---: | --- |");
    for finding in findings {
        put_line!(
            text,
            "| {} | {} | {} | {} | `{}` | {} | {} | {} |",
            finding.calls,
            finding.saved,
            finding.kind,
            cell(&finding.component),
            cell(&finding.call),
            finding.code,
            finding.per_object.map(detailed).unwrap_or_default(),
            cell(&finding.detail)
        );
    }
    text
}

/// `118 of 843 calls could go (14.0 %), by 5 findings.`
pub(crate) fn sum(of: &Of<'_>, findings: &[CallFinding]) -> String {
    let saved: u64 = findings.iter().map(|finding| finding.saved).sum();
    let calls = of.calls;
    if findings.is_empty() {
        return format!("nothing was found in {} calls", grouped(calls));
    }
    format!(
        "{} of {} calls could go ({:.1} %)",
        grouped(saved),
        grouped(calls),
        100.0 * saved as f64 / calls.max(1) as f64
    )
}

fn head(finding: &CallFinding) -> String {
    let code = if finding.code.is_empty() {
        String::new()
    } else {
        format!(" {}", finding.code)
    };
    let per_object = finding
        .per_object
        .map(|per_object| format!(", {per_object:.2} per object"));
    format!(
        "{}  {} {}{code}: {}, {} could go{}",
        finding.kind,
        finding.component,
        finding.call,
        calls(finding.calls),
        grouped(finding.saved),
        per_object.unwrap_or_default()
    )
}

pub(crate) fn calls(count: u64) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} call{s}", grouped(count))
}

fn example(finding: &CallFinding) -> String {
    let example = &finding.example;
    let at = example.at.round(Unit::Millisecond).unwrap_or(example.at);
    let object = match (&*example.namespace, &*example.name) {
        ("", "") => String::new(),
        ("", name) => format!(" on {name}"),
        (namespace, "") => format!(" in {namespace}"),
        (namespace, name) => format!(" on {namespace}/{name}"),
    };
    let audit_id = if example.audit_id.is_empty() {
        String::new()
    } else {
        format!(", audit ID {}", example.audit_id)
    };
    format!("first at {at}{object}{audit_id}")
}

/// What became of findings from one run to another.
pub fn changes(a: &str, b: &str, changes: &[FindingChange]) -> String {
    let mut text = String::new();
    put_line!(text, "from {a} to {b}");
    if changes.is_empty() {
        put_line!(text, "the same findings, with the same numbers of calls");
        return text;
    }
    let titles = [
        "",
        "FINDING",
        "COMPONENT",
        "CALL",
        "CODE",
        "A",
        "B",
        "",
        "WHY",
    ];
    let mut table = crate::text::table(&titles);
    for change in changes {
        let per_object = if change.per_object {
            "per object"
        } else {
            "calls"
        };
        table.add_row([
            word(change.change).to_owned(),
            change.kind.to_string(),
            change.component.clone(),
            change.call.clone(),
            change.code.clone(),
            detailed(change.a),
            detailed(change.b),
            per_object.to_owned(),
            change.reason.clone(),
        ]);
    }
    crate::text::align_right(&mut table, &[4, 5, 6]);
    for line in table.to_string().lines() {
        put_line!(text, "{}", line.trim_end());
    }
    text
}

fn word(change: FindingChangeKind) -> &'static str {
    match change {
        FindingChangeKind::New => "new",
        FindingChangeKind::More => "more",
        FindingChangeKind::Less => "less",
        FindingChangeKind::Gone => "gone",
    }
}

/// Text within a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{CallExample, CallFindingKind};

    fn finding() -> CallFinding {
        CallFinding {
            kind: CallFindingKind::Conflict,
            id: "conflict:virt-controller:UPDATE-virtualmachines/status@409:Conflict".to_owned(),
            component: "virt-controller".to_owned(),
            call: "UPDATE-virtualmachines/status".to_owned(),
            code: "409".to_owned(),
            calls: 91,
            saved: 91,
            per_object: Some(0.91),
            reason: "Conflict".to_owned(),
            detail: "91 of 412 such calls failed with 409.".to_owned(),
            example: CallExample {
                at: "2026-11-29T16:53:32.0728869Z".parse().unwrap(),
                namespace: "density".to_owned(),
                name: "vm-1".to_owned(),
                audit_id: "86273af4".to_owned(),
            },
        }
    }

    fn of() -> Of<'static> {
        Of {
            run: "run-1",
            scenario: "vm",
            simulated: true,
            calls: 2_017,
        }
    }

    #[test]
    fn a_finding_has_its_numbers_its_reason_and_a_call_to_look_up() {
        insta::assert_snapshot!(text(&of(), &[finding()]), @r"
        vm, KubeVirt SIMULATED   run run-1
        91 of 2,017 calls could go (4.5 %)

        conflict  virt-controller UPDATE-virtualmachines/status 409: 91 calls, 91 could go, 0.91 per object
          91 of 412 such calls failed with 409.
          first at 2026-11-29T16:53:32.073Z on density/vm-1, audit ID 86273af4
        ");
        insta::assert_snapshot!(markdown(&of(), &[finding()]), @r"
        ### vm, KubeVirt SIMULATED   run run-1

        91 of 2,017 calls could go (4.5 %)

        | calls | could go | finding | component | call | code | per object | why |
        | ---: | ---: | --- | --- | --- | --- | ---: | --- |
        | 91 | 91 | conflict | virt-controller | `UPDATE-virtualmachines/status` | 409 | 0.91 | 91 of 412 such calls failed with 409. |
        ");
        assert_eq!(
            text(&of(), &[]).lines().nth(1),
            Some("nothing was found in 2,017 calls")
        );
    }
}
