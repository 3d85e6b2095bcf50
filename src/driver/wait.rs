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

/// Longest wait for objects to be gone, and how much longer for each of them.
const GONE_TIMEOUT: Duration = Duration::from_secs(120);
const GONE_PER_OBJECT: Duration = Duration::from_millis(60);

impl Run<'_> {
    /// Waits until the VMIs of all that was created have been seen Running.
    pub(super) async fn wait_for_running(
        &self,
        observer: &mut Observer,
        created: &[Created],
    ) -> Result<(), RunError> {
        self.phase("wait for Running");
        let count = created.len();
        let mut running = Running::of(created);
        let all_running = observer.wait_for(self.plan.timeout, |objects| {
            let running = running.count(objects);
            self.driver.progress.step(running, count);
            running == count
        });
        if all_running.await {
            return Ok(());
        }
        let objects = observer.objects();
        Err(RunError::NotRunning {
            running: Running::of(created).count(&objects),
            count,
            seconds: self.plan.timeout.as_secs(),
            hint: phases_hint(&objects),
        })
    }

    /// Waits until all objects are gone that the watches have shown.
    pub(super) async fn wait_until_gone(&self, observer: &mut Observer) -> Result<(), RunError> {
        let longest = self.gone_timeout();
        let gone = observer.wait_for(longest, |objects| objects.left() == 0);
        if gone.await {
            return Ok(());
        }
        Err(RunError::NotGone {
            left: observer.objects().left(),
            seconds: longest.as_secs(),
        })
    }

    /// Longest wait for the run's objects to be gone.
    pub(super) fn gone_timeout(&self) -> Duration {
        GONE_TIMEOUT + GONE_PER_OBJECT * self.plan.count as u32
    }
}

/// How many of some VMIs have been seen Running. A look costs what is new since the last one: there
/// may be as many looks as events.
pub(super) struct Running<'c> {
    names: BTreeSet<&'c str>,
    looked_at: usize,
    count: usize,
}

impl<'c> Running<'c> {
    pub(super) fn of(created: &'c [Created]) -> Self {
        Self {
            names: created.iter().map(|one| one.name.as_str()).collect(),
            looked_at: 0,
            count: 0,
        }
    }

    pub(super) fn count(&mut self, objects: &Objects) -> usize {
        let new = objects.running().get(self.looked_at..).unwrap_or_default();
        // A name that comes again, as another object's, counts once.
        let found = new.iter().filter(|name| self.names.remove(name.as_str()));
        self.count += found.count();
        self.looked_at += new.len();
        self.count
    }

    /// Those that have not been seen Running.
    pub(super) fn missing(mut self, objects: &Objects) -> BTreeSet<&'c str> {
        self.count(objects);
        self.names
    }
}

/// What is the matter with those that are not Running.
fn phases_hint(objects: &Objects) -> String {
    let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
    for (plural, _, seen) in objects.iter() {
        if plural == VMI.plural && seen.exists && seen.phase != "Running" {
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
