//! What a run made so far, and may remove again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::workload::Kind;

/// Whether the namespace is the run's own, and the objects that may be there.
#[derive(Default)]
pub(super) struct Made(Mutex<Objects>);

#[derive(Default)]
struct Objects {
    has_namespace: bool,
    /// Kind and name, in the order of their creation.
    named: Vec<(Kind, String)>,
}

impl Made {
    /// The run's namespace is its own.
    pub(super) fn note_namespace(&self) {
        self.lock().has_namespace = true;
    }

    /// An object of the run.
    pub(super) fn note(&self, kind: Kind, name: String) {
        self.lock().named.push((kind, name));
    }

    /// Whether the run's namespace is its own.
    pub(super) fn has_namespace(&self) -> bool {
        self.lock().has_namespace
    }

    /// The objects, the last one first; of one kind, if that is asked for.
    pub(super) fn objects(&self, of: Option<Kind>) -> Vec<(Kind, String)> {
        let objects = self.lock();
        let named = objects.named.iter().rev();
        let wanted = named.filter(|(kind, _)| of.is_none_or(|of| of == *kind));
        wanted.cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
