//! What another run has more and less of.

use std::collections::BTreeMap;

use record::{CallFinding, FindingChange, FindingChangeKind};

/// The findings of which two runs have different numbers of calls: per object, if both runs know how
/// many they had. What grew most comes first.
pub fn compare(a: &[CallFinding], b: &[CallFinding]) -> Vec<FindingChange> {
    let per_object = a.iter().chain(b).all(|one| one.per_object.is_some());
    let mut pairs: BTreeMap<&str, [Option<&CallFinding>; 2]> = BTreeMap::new();
    for (side, findings) in [a, b].into_iter().enumerate() {
        for finding in findings {
            pairs.entry(&finding.id).or_default()[side] = Some(finding);
        }
    }
    let changes = pairs.into_values();
    let mut changes: Vec<_> = changes
        .filter_map(|pair| change(pair, per_object))
        .collect();
    changes.sort_by(|a, b| {
        let grew = b.difference.total_cmp(&a.difference);
        grew.then_with(|| a.id.cmp(&b.id))
    });
    changes
}

fn change([a, b]: [Option<&CallFinding>; 2], per_object: bool) -> Option<FindingChange> {
    let count = |side: Option<&CallFinding>| match side {
        Some(finding) if per_object => finding.per_object.unwrap_or_default(),
        Some(finding) => finding.calls as f64,
        None => 0.0,
    };
    let (before, after) = (count(a), count(b));
    let change = match (a, b) {
        (None, _) => FindingChangeKind::New,
        (_, None) => FindingChangeKind::Gone,
        _ if after > before => FindingChangeKind::More,
        _ if after < before => FindingChangeKind::Less,
        _ => return None,
    };
    let finding = b.or(a)?;
    Some(FindingChange {
        change,
        id: finding.id.clone(),
        kind: finding.kind,
        component: finding.component.clone(),
        call: finding.call.clone(),
        code: finding.code.clone(),
        reason: finding.reason.clone(),
        per_object,
        a: before,
        b: after,
        difference: after - before,
    })
}
