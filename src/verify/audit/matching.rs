//! When a row of the books and an event of the log can be of one request.

use super::AuditEntry;
use record::{CallRecord, ProxyRun, RowRecord};

/// Whether a row's user can be that of an event; one that was not authenticated has none.
pub(super) fn is_same_user(row: &RowRecord, entry: &AuditEntry) -> bool {
    row.user.is_empty() || row.user == entry.user
}

/// Whether a row can be that of an event. Requests that the API server didn't authenticate are
/// counted by their folded names.
pub(super) fn is_same_call(row: &RowRecord, entry: &AuditEntry) -> bool {
    let (ours, theirs) = (without_kubevirt(&row.call), without_kubevirt(&entry.call));
    ours == theirs || (row.user.is_empty() && ours == folded(&entry.call))
}

/// Whether no answer says whose requests a row counts; where the proxy names all clients, its own
/// component stands in the place of the two that say so.
pub(super) fn is_nobodys(proxy: &ProxyRun, row: &RowRecord) -> bool {
    let given = proxy.opened.proxy.component.is_some();
    row.is_nobodys() || (given && row.user.is_empty())
}

pub(super) fn folded(call: &CallRecord) -> CallRecord {
    without_kubevirt(&call.name().folded().into())
}

/// A call without KubeVirt's names: they follow from the method, which a log doesn't have.
pub(super) fn without_kubevirt(call: &CallRecord) -> CallRecord {
    CallRecord {
        kubevirt_verb: String::new(),
        kubevirt_resource: String::new(),
        ..call.clone()
    }
}
