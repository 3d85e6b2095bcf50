//! The lines of the last requests, whether or not a run is open.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use recorder::Line;

/// The last requests of authenticated clients.
pub(super) struct Recent {
    most: usize,
    lines: Mutex<VecDeque<Arc<Line>>>,
}

impl Recent {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            lines: Mutex::default(),
        }
    }

    /// Whether anything is kept.
    pub(super) fn is_kept(&self) -> bool {
        self.most > 0
    }

    /// Adds the newest, and lets go of the oldest.
    pub(super) fn add(&self, line: &Arc<Line>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if lines.len() >= self.most {
            lines.pop_front()
        } else {
            None
        };
        lines.push_back(Arc::clone(line));
        drop(lines);
        // Whose memory is given back when nobody waits for the lock.
        drop(oldest);
    }

    /// All of them, the oldest first.
    pub(super) fn lines(&self) -> Vec<Arc<Line>> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }
}
