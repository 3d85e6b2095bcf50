//! Waits for a run's objects, as the watches show them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    context::Run,
    create::Created,
    error::RunError,
    observe::{Objects, Observer},
};
use crate::workload::VMI;

/// Longest wait for objects to be gone.
pub(super) const GONE_TIMEOUT: Duration = Duration::from_secs(120);

impl Run<'_> {
    /// Waits until the VMIs of all that was created have been seen Running.
    pub(super) async fn wait_for_running(
        &self,
        observer: &mut Observer,
        created: &[Created],
    ) -> Result<(), RunError> {
        self.phase("wait for Running");
        let count = created.len();
        let all_running = observer.wait_for(self.plan.timeout, |objects| {
            let running = running(objects, created);
            self.driver.progress.step(running, count);
            running == count
        });
        if all_running.await {
            return Ok(());
        }
        let objects = observer.objects();
        Err(RunError::NotRunning {
            running: running(&objects, created),
            count,
            seconds: self.plan.timeout.as_secs(),
            hint: phases_hint(&objects),
        })
    }

    /// Waits until all objects are gone that the watches have shown.
    pub(super) async fn wait_until_gone(&self, observer: &mut Observer) -> Result<(), RunError> {
        let gone = observer.wait_for(GONE_TIMEOUT, |objects| left(objects) == 0);
        if gone.await {
            return Ok(());
        }
        Err(RunError::NotGone {
            left: left(&observer.objects()),
            seconds: GONE_TIMEOUT.as_secs(),
        })
    }
}

fn running(objects: &Objects, created: &[Created]) -> usize {
    let running: BTreeSet<&str> = objects
        .iter()
        .filter(|((plural, _), seen)| *plural == VMI.plural && seen.running_seen.is_some())
        .map(|(_, seen)| seen.name.as_str())
        .collect();
    let names = created.iter();
    names
        .filter(|one| running.contains(one.name.as_str()))
        .count()
}

fn left(objects: &Objects) -> usize {
    objects.values().filter(|seen| seen.exists).count()
}

/// What is the matter with those that are not Running.
fn phases_hint(objects: &Objects) -> String {
    let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
    for ((plural, _), seen) in objects {
        if *plural == VMI.plural && seen.exists && seen.phase != "Running" {
            let phase = if seen.phase.is_empty() {
                "no phase"
            } else {
                &seen.phase
            };
            *phases.entry(phase).or_default() += 1;
        }
    }
    phases
        .iter()
        .map(|(phase, count)| format!("; {count} in {phase}"))
        .collect()
}
