//! A work queue with the promises of client-go's: a key is never worked on twice at a time, a key that is added while
//! it is worked on comes again afterwards, and failures come again after a growing pause.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::object::Key;
use super::rest::CallError;
use super::tasks::Tasks;

/// The pause after a key's first failure, doubled by each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Keys that wait for a worker. Bounded by the number of objects: a key waits only once.
pub(crate) struct Queue {
    name: &'static str,
    state: Mutex<State>,
    ready: Notify,
    tasks: Tasks,
}

#[derive(Default)]
struct State {
    order: VecDeque<Key>,
    waiting: HashSet<Key>,
    processing: HashSet<Key>,
    failures: HashMap<Key, u32>,
}

impl Queue {
    pub(crate) fn new(name: &'static str, tasks: &Tasks) -> Arc<Self> {
        Arc::new(Self {
            name,
            state: Mutex::default(),
            ready: Notify::new(),
            tasks: tasks.clone(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a worker look at the key, after the one that has it now.
    pub(crate) fn add(&self, key: Key) {
        let mut state = self.state();
        if !state.waiting.insert(key.clone()) || state.processing.contains(&key) {
            return;
        }
        state.order.push_back(key);
        self.ready.notify_one();
    }

    async fn take(&self) -> Key {
        loop {
            if let Some(key) = self.try_take() {
                return key;
            }
            self.ready.notified().await;
        }
    }

    fn try_take(&self) -> Option<Key> {
        let mut state = self.state();
        let key = state.order.pop_front()?;
        state.waiting.remove(&key);
        state.processing.insert(key.clone());
        if !state.order.is_empty() {
            self.ready.notify_one();
        }
        Some(key)
    }

    fn done(&self, key: &Key) {
        let mut state = self.state();
        state.processing.remove(key);
        if state.waiting.contains(key) {
            state.order.push_back(key.clone());
            self.ready.notify_one();
        }
    }

    fn forget(&self, key: &Key) {
        self.state().failures.remove(key);
    }

    /// Adds the key again after a pause that grows with its failures.
    fn retry(self: &Arc<Self>, key: Key) {
        let failures = {
            let mut state = self.state();
            let count = state.failures.entry(key.clone()).or_default();
            *count += 1;
            *count
        };
        let queue = self.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(pause(failures)).await;
            queue.add(key);
        });
    }

    /// Starts `workers` that call `reconcile` with keys until the component stops.
    pub(crate) fn work<F, R>(self: &Arc<Self>, workers: usize, reconcile: F)
    where
        F: Fn(Key) -> R + Clone + Send + 'static,
        R: Future<Output = Result<(), CallError>> + Send,
    {
        for _ in 0..workers {
            let (queue, reconcile) = (self.clone(), reconcile.clone());
            self.tasks.spawn(async move {
                loop {
                    let key = queue.take().await;
                    let outcome = reconcile(key.clone()).await;
                    queue.finish(key, outcome);
                }
            });
        }
    }

    fn finish(self: &Arc<Self>, key: Key, outcome: Result<(), CallError>) {
        match outcome {
            Ok(()) => self.forget(&key),
            Err(error) => {
                if error.is_routine() {
                    tracing::debug!(queue = self.name, %key, %error, "comes again");
                } else {
                    tracing::warn!(queue = self.name, %key, %error, "comes again");
                }
                self.retry(key.clone());
            }
        }
        self.done(&key);
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("density", name)
    }

    #[tokio::test]
    async fn a_key_waits_once_and_comes_again_when_added_while_worked_on() {
        let queue = Queue::new("test", &Tasks::default());
        queue.add(key("a"));
        queue.add(key("a"));
        queue.add(key("b"));
        assert_eq!(queue.take().await, key("a"));
        queue.add(key("a"));
        assert_eq!(queue.take().await, key("b"));
        assert!(queue.try_take().is_none());
        queue.done(&key("a"));
        assert_eq!(queue.take().await, key("a"));
        queue.done(&key("a"));
        assert!(queue.try_take().is_none());
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        assert_eq!(pause(1), Duration::from_millis(5));
        assert_eq!(pause(3), Duration::from_millis(20));
        assert_eq!(pause(90), LONGEST_PAUSE);
    }
}
