//! Findings by name, wherever a row or a metric can be named: `why:no-op-write` is how many calls
//! findings of that kind have, `why:saved` how many calls could go.

use record::{CallFinding, CallFindingKind, FINDING_METRICS};

/// What could go, over all kinds.
const FINDINGS_SAVED: &str = "saved";

/// All such names.
pub(crate) fn finding_names() -> impl Iterator<Item = String> {
    let kinds = CallFindingKind::ALL.iter().map(|kind| kind.as_str());
    kinds
        .chain([FINDINGS_SAVED])
        .map(|name| format!("{FINDING_METRICS}{name}"))
}

/// Whether a name is meant as one of a finding.
pub(crate) fn is_finding_name(name: &str) -> bool {
    name.starts_with(FINDING_METRICS)
}

/// How many calls the findings of a name have; `None` if there is no such name.
pub(crate) fn finding_count(name: &str, findings: &[CallFinding]) -> Option<u64> {
    let name = name.strip_prefix(FINDING_METRICS)?;
    if name == FINDINGS_SAVED {
        return Some(CallFinding::saved(findings));
    }
    let kinds = CallFindingKind::ALL;
    kinds.iter().find(|kind| kind.as_str() == name)?;
    let of_kind = findings
        .iter()
        .filter(|finding| finding.kind.as_str() == name);
    Some(of_kind.map(|finding| finding.calls).sum())
}
