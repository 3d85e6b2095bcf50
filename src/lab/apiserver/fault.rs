//! Faults that a test can order. None of them makes a conflict: those come from races only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// A fault to inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every `n`-th mutating request is answered with 429 and `Retry-After: 1`; 0 ends that.
    ThrottleMutating(u64),
    /// All watches end now, without a word, as when a server goes away.
    CutWatches,
    /// All events until now are forgotten: running watches get the 410 event, resumed ones too.
    ExpireHistory,
    /// Each response body starts that much later than its head; zero ends that.
    DelayBodies(Duration),
}

/// The faults in force.
#[derive(Debug)]
pub(crate) struct Faults {
    throttle: AtomicU64,
    mutating: AtomicU64,
    delay_ms: AtomicU64,
    cut: watch::Sender<()>,
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self {
            throttle: AtomicU64::new(0),
            mutating: AtomicU64::new(0),
            delay_ms: AtomicU64::new(0),
            cut: watch::Sender::new(()),
        }
    }

    pub(crate) fn throttle(&self, every: u64) {
        self.mutating.store(0, Ordering::SeqCst);
        self.throttle.store(every, Ordering::SeqCst);
    }

    /// Counts a mutating request; true if it is one to refuse.
    pub(crate) fn refuses(&self) -> bool {
        let every = self.throttle.load(Ordering::SeqCst);
        every > 0 && (self.mutating.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(every)
    }

    pub(crate) fn cut_watches(&self) {
        self.cut.send_replace(());
    }

    /// Changes when all watches are to end.
    pub(crate) fn cut(&self) -> watch::Receiver<()> {
        self.cut.subscribe()
    }

    pub(crate) fn delay_bodies(&self, delay: Duration) {
        self.delay_ms.store(
            u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            Ordering::SeqCst,
        );
    }

    pub(crate) fn delay(&self) -> Option<Duration> {
        let millis = self.delay_ms.load(Ordering::SeqCst);
        (millis > 0).then(|| Duration::from_millis(millis))
    }
}
