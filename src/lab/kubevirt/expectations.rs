//! What a controller has written and not yet seen in its cache.
//!
//! Without this memory a controller would act twice on a cache that is a moment behind: create a second pod, say.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::object::Key;

/// After this the watch is taken to have missed it, as in client-go.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Keys with a write that the cache is still to show.
#[derive(Default)]
pub(crate) struct Expectations {
    since: Mutex<HashMap<Key, Instant>>,
}

impl Expectations {
    fn since(&self) -> MutexGuard<'_, HashMap<Key, Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the write: its event may come before its answer.
    pub(crate) fn expect(&self, key: &Key) {
        self.since().insert(key.clone(), Instant::now());
    }

    /// The cache shows it, or the write failed.
    pub(crate) fn clear(&self, key: &Key) {
        self.since().remove(key);
    }

    pub(crate) fn is_satisfied(&self, key: &Key) -> bool {
        let since = self.since();
        since.get(key).is_none_or(|since| since.elapsed() > TIMEOUT)
    }
}
