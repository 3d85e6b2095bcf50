//! The findings of a run in words.

use std::fmt;

use jiff::Unit;

use crate::{
    number::{cpu, detailed, grouped, share, tolls},
    prices::by_list,
};
use record::{AuditLog, CallFinding, FindingChange, FindingChangeKind, PricesUsed, number_of};

/// What findings are of.
#[derive(Debug, Clone, Copy)]
pub struct Of<'r> {
    /// Where the calls were.
    pub source: Source<'r>,
    /// All calls among which they were found.
    pub calls: u64,
    /// What these cost, if that is known.
    pub cost: Option<Cost<'r>>,
    /// How many findings are shown; the sums are of all.
    pub shown: usize,
}

/// What calls cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost<'r> {
    /// Microseconds of the API server's CPU, of all that have a price.
    pub cpu_us: f64,
    /// The list that says so.
    pub prices: &'r PricesUsed,
}

/// Where calls were.
#[derive(Debug, Clone, Copy)]
pub enum Source<'r> {
    /// In a run's journal.
    Run {
        /// The run's id.
        id: &'r str,
        /// What was run.
        scenario: &'r str,
        /// Whether KubeVirt was simulated.
        simulated: bool,
    },
    /// In an audit log, of these files.
    AuditLog(&'r str),
}

impl Of<'_> {
    fn title(&self) -> String {
        match self.source {
            Source::Run {
                id,
                scenario,
                simulated,
            } => {
                let simulated = if simulated {
                    ", KubeVirt SIMULATED"
                } else {
                    ""
                };
                format!("{scenario}{simulated}   run {id}")
            }
            Source::AuditLog(files) => format!("audit log   {files}"),
        }
    }
}

/// The updates and patches of an audit log, and of how many the log doesn't have the bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditBodies {
    /// All that succeeded.
    pub written: u64,
    /// Those without the response's object.
    pub written_unread: u64,
    /// All that were answered 409.
    pub refused: u64,
    /// Those without the request's version or tests.
    pub refused_unread: u64,
    /// All patches.
    pub patches: u64,
    /// Those without the patch.
    pub patches_unread: u64,
}

/// What an audit log doesn't tell of the calls that are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// Which levels its requests are of.
    pub levels: String,
    /// What is not known, each in a few words.
    pub what: Vec<String>,
}

/// What findings in an audit log don't know.
pub fn untold(log: &AuditLog, bodies: &AuditBodies) -> Untold {
    let levels = log.levels.iter().map(|(level, count)| {
        let level = if level.is_empty() { "unknown" } else { level };
        format!("{} of level {level}", grouped(*count))
    });
    let of = |unread: u64, all: u64| format!("{} of {}", grouped(unread), grouped(all));
    let mut what = Vec::new();
    if bodies.written_unread > 0 {
        what.push(format!(
            "what came of {} updates and patches, whose answer's body is not in the log: whether \
             they changed anything, and which of them made another one fail",
            of(bodies.written_unread, bodies.written)
        ));
    }
    if bodies.refused_unread > 0 {
        what.push(format!(
            "who had written in between, of {} updates and patches that were answered 409: which \
             version they wanted is not in the log",
            of(bodies.refused_unread, bodies.refused)
        ));
    }
    if bodies.patches_unread > 0 {
        what.push(format!(
            "what {} patches change and test",
            of(bodies.patches_unread, bodies.patches)
        ));
    }
    let always = [
        "what watches delivered: one of the objects' metadata alone is taken for one of whole objects",
        "bytes, events and errors of watches, who ended a watch, why a request was throttled: \
         these are in no audit log",
        "processes and connections: what has the same user, user agent, and pod or address, is \
         taken for one process",
    ];
    what.extend(always.map(str::to_owned));
    Untold {
        levels: levels.collect::<Vec<_>>().join(", "),
        what,
    }
}

impl fmt::Display for Untold {
    /// As a list, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = match &*self.levels {
            "" => String::new(),
            levels => format!(" (requests: {levels})"),
        };
        write!(f, "not known from this log{levels}:\n\n")?;
        self.what
            .iter()
            .try_for_each(|what| writeln!(f, "- {what}"))
    }
}

/// Findings for a terminal: of each its numbers, why, and a call to look up.
pub fn text(of: &Of<'_>, findings: &[CallFinding]) -> String {
    let mut text = String::new();
    put_line!(text, "{}", of.title());
    put_line!(text, "{}", sum(of, findings));
    if let Some(cost) = saved_cost(of, findings) {
        put_line!(text, "{cost}");
    }
    for finding in findings.iter().take(of.shown) {
        put_line!(text, "\n{}", head(finding));
        put_line!(text, "  {}", finding.detail);
        put_line!(text, "  {}", example(finding));
    }
    if let Some(rest) = rest(of, findings) {
        put_line!(text, "\n{rest}");
    }
    text
}

/// What is not shown.
fn rest(of: &Of<'_>, findings: &[CallFinding]) -> Option<String> {
    let rest = findings.len().checked_sub(of.shown)?;
    (rest > 0).then(|| format!("and {} more", number_of(rest as u64, "finding")))
}

/// The same as Markdown, a row each.
pub fn markdown(of: &Of<'_>, findings: &[CallFinding]) -> String {
    let mut text = String::new();
    put_line!(text, "### {}", of.title());
    put_line!(text, "\n{}", sum(of, findings));
    if let Some(cost) = saved_cost(of, findings) {
        put_line!(text, "\n{cost}");
    }
    if findings.is_empty() {
        return text;
    }
    let has_cost = of.cost.is_some();
    let (title, line) = if has_cost {
        (" tolls |", " ---: |")
    } else {
        ("", "")
    };
    put_line!(
        text,
        "\n| calls | could go |{title} finding | component | call | code | per object | why |"
    );
    put_line!(
        text,
        "| ---: | ---: |{line} --- | --- | --- | --- | ---: | --- |"
    );
    for finding in findings.iter().take(of.shown) {
        let tolls = finding.saved_tolls.map(tolls).unwrap_or_default();
        let tolls = if has_cost {
            format!(" {tolls} |")
        } else {
            String::new()
        };
        put_line!(
            text,
            "| {} | {} |{tolls} {} | {} | `{}` | {} | {} | {} |",
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
    if let Some(rest) = rest(of, findings) {
        put_line!(text, "\n{rest}");
    }
    text
}

/// `118 of 843 calls could go (14.0 %), by 5 findings.`
pub(crate) fn sum(of: &Of<'_>, findings: &[CallFinding]) -> String {
    let saved = CallFinding::saved(findings);
    let calls = of.calls;
    if findings.is_empty() {
        return format!("nothing was found in {}", number_of(calls, "call"));
    }
    format!(
        "{} of {} calls could go ({:.1} %)",
        grouped(saved),
        grouped(calls),
        100.0 * saved as f64 / calls.max(1) as f64
    )
}

/// `1,204 of 9,120 tolls (13.2 %), 1.17 s of the API server's CPU, by the prices of ...`: what the calls
/// cost that could go, if some of them have a price.
fn saved_cost(of: &Of<'_>, findings: &[CallFinding]) -> Option<String> {
    let (all, saved) = of.cost.zip(CallFinding::saved_tolls(findings))?;
    let all_tolls = all.cpu_us / all.prices.toll_us;
    let at = match of.source {
        Source::Run { .. } => "",
        Source::AuditLog(_) => ", each at the size that was measured",
    };
    Some(format!(
        "{} of {} tolls ({}), {} of the API server's CPU, {}{at}",
        tolls(saved),
        tolls(all_tolls),
        share(saved, all_tolls),
        cpu(saved * all.prices.toll_us),
        by_list(all.prices, 0)
    ))
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
    let cost = finding.saved_tolls;
    let cost = cost.map(|cost| format!(" ({} tolls)", tolls(cost)));
    format!(
        "{}  {} {}{code}: {}, {} could go{}{}",
        finding.kind,
        finding.component,
        finding.call,
        number_of(finding.calls, "call"),
        grouped(finding.saved),
        cost.unwrap_or_default(),
        per_object.unwrap_or_default()
    )
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
    table.put(&mut text, "");
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
            saved_cpu_us: None,
            saved_tolls: None,
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
            source: Source::Run {
                id: "run-1",
                scenario: "vm",
                simulated: true,
            },
            calls: 2_017,
            cost: None,
            shown: usize::MAX,
        }
    }

    #[test]
    fn what_could_go_has_a_cost_where_calls_have_prices() {
        let prices = PricesUsed {
            kubernetes_version: "v1.34.4".to_owned(),
            toll_us: 1_000.0,
            ..PricesUsed::default()
        };
        let of = Of {
            cost: Some(Cost {
                cpu_us: 4e6,
                prices: &prices,
            }),
            ..of()
        };
        let dear = CallFinding {
            saved_cpu_us: Some(123_450.0),
            saved_tolls: Some(123.45),
            ..finding()
        };
        let shown = text(&of, &[dear.clone(), finding()]);
        insta::assert_snapshot!(shown, @r"
        vm, KubeVirt SIMULATED   run run-1
        182 of 2,017 calls could go (9.0 %)
        123 of 4,000 tolls (3.1 %), 123.5 ms of the API server's CPU, by the prices of Kubernetes v1.34.4

        conflict  virt-controller UPDATE-virtualmachines/status 409: 91 calls, 91 could go (123 tolls), 0.91 per object
          91 of 412 such calls failed with 409.
          first at 2026-11-29T16:53:32.073Z on density/vm-1, audit ID 86273af4

        conflict  virt-controller UPDATE-virtualmachines/status 409: 91 calls, 91 could go, 0.91 per object
          91 of 412 such calls failed with 409.
          first at 2026-11-29T16:53:32.073Z on density/vm-1, audit ID 86273af4
        ");
        insta::assert_snapshot!(markdown(&of, &[dear, finding()]), @r"
        ### vm, KubeVirt SIMULATED   run run-1

        182 of 2,017 calls could go (9.0 %)

        123 of 4,000 tolls (3.1 %), 123.5 ms of the API server's CPU, by the prices of Kubernetes v1.34.4

        | calls | could go | tolls | finding | component | call | code | per object | why |
        | ---: | ---: | ---: | --- | --- | --- | --- | ---: | --- |
        | 91 | 91 | 123 | conflict | virt-controller | `UPDATE-virtualmachines/status` | 409 | 0.91 | 91 of 412 such calls failed with 409. |
        | 91 | 91 |  | conflict | virt-controller | `UPDATE-virtualmachines/status` | 409 | 0.91 | 91 of 412 such calls failed with 409. |
        ");
        // Nothing that could go has a price.
        assert_eq!(text(&of, &[finding()]).lines().count(), 6);
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
        let of_log = Of {
            source: Source::AuditLog("audit.log, -"),
            calls: 3,
            ..of()
        };
        assert_eq!(
            text(&of_log, &[]),
            "audit log   audit.log, -\nnothing was found in 3 calls\n"
        );
        assert_eq!(
            text(&of(), &[]).lines().nth(1),
            Some("nothing was found in 2,017 calls")
        );
    }

    #[test]
    fn sums_are_of_all_findings_however_many_are_shown() {
        let found = [finding(), finding(), finding()];
        let of = Of { shown: 2, ..of() };
        for told in [text(&of, &found), markdown(&of, &found)] {
            assert!(
                told.contains("\n273 of 2,017 calls could go (13.5 %)\n"),
                "{told}"
            );
            let last = told.lines().last();
            assert_eq!(last, Some("and 1 finding more"));
        }
    }

    #[test]
    fn what_a_log_does_not_tell_is_told_by_what_its_bodies_are() {
        let mut log = AuditLog::default();
        log.levels.insert("Metadata".to_owned(), 1_063);
        log.levels.insert("Request".to_owned(), 2);
        let mut bodies = AuditBodies {
            written: 30,
            written_unread: 30,
            refused: 3,
            refused_unread: 1,
            patches: 7,
            patches_unread: 5,
        };
        insta::assert_snapshot!(untold(&log, &bodies), @r"
        not known from this log (requests: 1,063 of level Metadata, 2 of level Request):

        - what came of 30 of 30 updates and patches, whose answer's body is not in the log: whether they changed anything, and which of them made another one fail
        - who had written in between, of 1 of 3 updates and patches that were answered 409: which version they wanted is not in the log
        - what 5 of 7 patches change and test
        - what watches delivered: one of the objects' metadata alone is taken for one of whole objects
        - bytes, events and errors of watches, who ended a watch, why a request was throttled: these are in no audit log
        - processes and connections: what has the same user, user agent, and pod or address, is taken for one process
        ");
        (
            bodies.written_unread,
            bodies.refused_unread,
            bodies.patches_unread,
        ) = (0, 0, 0);
        assert_eq!(untold(&log, &bodies).what.len(), 3);
        assert!(
            untold(&AuditLog::default(), &bodies)
                .to_string()
                .starts_with("not known from this log:\n")
        );
    }
}
