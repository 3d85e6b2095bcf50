//! A run checked against itself: what was created in its namespace must be in the books.

use std::collections::BTreeMap;

use super::{observe::Seen, plan::Plan};
use crate::workload::{POD, VM, VMI};
use record::{Check, RunRecord};

/// Compares the objects that the watches showed with the successful creates in the books. What
/// the driver created itself is not in the books, since it goes around the proxies.
pub(super) fn created(
    record: &RunRecord,
    new: &[(&'static str, &Seen)],
    plan: &Plan,
) -> Vec<Check> {
    let mut kinds = vec![POD];
    if plan.spec.kind() == VM {
        kinds.push(VMI);
    }
    kinds
        .into_iter()
        .map(|kind| {
            let booked = creates_in_books(record, kind.plural);
            let mut creators: BTreeMap<&str, u64> = BTreeMap::new();
            for (plural, seen) in new {
                if *plural == kind.plural {
                    *creators.entry(&seen.creator).or_default() += 1;
                }
            }
            let seen: u64 = creators.values().sum();
            let by: Vec<String> = creators
                .iter()
                .map(|(creator, count)| format!("{count} by {creator}"))
                .collect();
            let mut detail = format!("{seen} created ({}), {booked} in the books", by.join(", "));
            if seen > booked {
                detail.push_str(
                    ": a component goes around the proxies; is it that one, and does it use the \
                     proxy's address?",
                );
            }
            Check::new(
                format!("created {} are in the books", kind.plural),
                seen == booked && seen >= plan.count as u64,
                detail,
            )
        })
        .collect()
}

/// Successful creates of a resource in the run's namespace.
fn creates_in_books(record: &RunRecord, plural: &str) -> u64 {
    let proxies = record.proxies.iter().flat_map(|proxy| {
        proxy.closed.objects.iter().filter(|object| {
            object.namespace == record.cluster.namespace
                && proxy.difference.iter().any(|row| {
                    row.id == object.row
                        && row.call.verb == "create"
                        && row.call.resource == plural
                        && row.call.subresource.is_empty()
                        && row.is_success()
                })
        })
    });
    proxies.map(|object| object.count).sum()
}
