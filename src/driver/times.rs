//! When a run's objects came to their phases.

use std::collections::BTreeMap;

use super::{
    create::Created,
    observe::{Objects, Seen},
};
use crate::workload::VMI;
use record::ObjectTimes;

/// The times of the VMIs of what was created, as far as the watches have shown them.
pub(super) fn times(created: &[Created], objects: &Objects) -> Vec<ObjectTimes> {
    let vmis: BTreeMap<&str, (&str, &Seen)> = objects
        .iter()
        .filter(|(plural, ..)| *plural == VMI.plural)
        .map(|(_, uid, seen)| (seen.name.as_str(), (uid, seen)))
        .collect();
    let times = created.iter().filter_map(|one| {
        let (uid, seen) = vmis.get(one.name.as_str())?;
        Some(ObjectTimes {
            name: one.name.clone(),
            uid: (*uid).to_owned(),
            create_sent: one.sent,
            create_ms: one.took.as_secs_f64() * 1e3,
            created: seen.created,
            running_seen: seen.running_seen,
            phases: seen.phases.clone(),
        })
    });
    times.collect()
}
