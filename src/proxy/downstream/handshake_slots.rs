//! Slots for TLS handshakes: a client that does not go on with one loses its slot to another client.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::eviction::evicted;

/// Most TLS handshakes at once. Only those that have begun count: silent connections must
/// not keep others out.
const SLOTS: usize = 1_024;
/// A handshake that has waited for its client for so long loses its slot to another one, if none is
/// free: longer than a round trip to a far client.
const STALLED: Duration = Duration::from_millis(250);

/// All slots, taken or free.
pub(crate) struct HandshakeSlots {
    taken: Mutex<TakenSlots>,
    /// Who comes first is served first.
    queue: Semaphore,
    freed: Notify,
    started: Instant,
}

#[derive(Default)]
struct TakenSlots {
    by_number: BTreeMap<u64, Arc<Waiting>>,
    next: u64,
}

/// A handshake that waits for its client now and then.
struct Waiting {
    client: IpAddr,
    /// Since when it waits, in milliseconds since the slots were made.
    since: AtomicU64,
    evicted: CancellationToken,
}

/// The slot of one handshake, free again when dropped.
pub(crate) struct HandshakeSlot {
    slots: Arc<HandshakeSlots>,
    number: u64,
    waiting: Arc<Waiting>,
}

/// Tells a handshake's slot that the proxy has answered its client.
#[derive(Clone)]
pub(super) struct Progress {
    slots: Arc<HandshakeSlots>,
    waiting: Arc<Waiting>,
}

impl HandshakeSlots {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::default(),
            queue: Semaphore::new(1),
            freed: Notify::new(),
            started: Instant::now(),
        })
    }

    /// A slot for a handshake with `client`. Where none is free, the address that holds most of them
    /// loses the one that has waited longest for its client; of several that hold equally many,
    /// whichever has.
    pub(crate) async fn acquire(self: &Arc<Self>, client: IpAddr) -> HandshakeSlot {
        let _turn = self.queue.acquire().await;
        loop {
            match self.try_acquire(client) {
                Ok(slot) => return slot,
                Err(wait) => {
                    let _ = timeout(wait, self.freed.notified()).await;
                }
            }
        }
    }

    /// A slot, or how long to wait for one at the longest.
    fn try_acquire(self: &Arc<Self>, client: IpAddr) -> Result<HandshakeSlot, Duration> {
        let now = self.now();
        let mut taken = self.lock();
        if taken.by_number.len() >= SLOTS
            && let Some((number, waited)) = taken.longest_waiting(now)
        {
            if waited < STALLED {
                return Err(STALLED - waited);
            }
            if let Some(waiting) = taken.by_number.remove(&number) {
                waiting.evicted.cancel();
            }
        }
        let waiting = Arc::new(Waiting {
            client,
            since: AtomicU64::new(now),
            evicted: CancellationToken::new(),
        });
        let number = taken.next;
        taken.next += 1;
        taken.by_number.insert(number, Arc::clone(&waiting));
        Ok(HandshakeSlot {
            slots: Arc::clone(self),
            number,
            waiting,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, TakenSlots> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TakenSlots {
    /// Which slot is lost next, and how long it has waited for its client. The newcomer does not
    /// count: with one slot of its own it would wait for that one, and all others behind it.
    fn longest_waiting(&self, now: u64) -> Option<(u64, Duration)> {
        let taken = self.by_number.iter().map(|(&number, waiting)| {
            let since = waiting.since.load(Ordering::Relaxed);
            (number, waiting.client, since)
        });
        let (number, since) = evicted(taken, None)?;
        Some((number, Duration::from_millis(now.saturating_sub(since))))
    }
}

impl HandshakeSlot {
    /// What tells this slot of progress.
    pub(super) fn progress(&self) -> Progress {
        Progress {
            slots: Arc::clone(&self.slots),
            waiting: Arc::clone(&self.waiting),
        }
    }

    /// Returns when the handshake has lost its slot. One that was only waiting for this process's
    /// time gets it first: what counts is how long the client has been waited for.
    pub(super) async fn evicted(&self) {
        self.waiting.evicted.cancelled().await;
        loop {
            let since = self.waiting.since.load(Ordering::Relaxed);
            let waited = Duration::from_millis(self.slots.now().saturating_sub(since));
            if waited >= STALLED {
                return;
            }
            sleep(STALLED - waited).await;
        }
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        self.slots.lock().by_number.remove(&self.number);
        self.slots.freed.notify_one();
    }
}

impl Progress {
    /// The proxy has answered: the client is waited for from now on. Bytes of the client are no
    /// progress, or a handshake that comes byte by byte would keep its slot.
    pub(super) fn note(&self) {
        let now = self.slots.now();
        self.waiting.since.store(now, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROWD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn is_evicted(slot: &HandshakeSlot) -> bool {
        slot.waiting.evicted.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_without_progress_of_the_largest_crowd_loses_its_slot() {
        let slots = HandshakeSlots::new();
        let other = slots.acquire(OTHER).await;
        let mut crowd = Vec::new();
        for _ in 1..SLOTS {
            crowd.push(slots.acquire(CROWD).await);
        }
        tokio::time::advance(STALLED).await;
        crowd[0].progress().note();
        let newcomer = slots.acquire(OTHER).await;
        assert!(!is_evicted(&other) && !is_evicted(&newcomer));
        let evicted: Vec<_> = (0..crowd.len())
            .filter(|&n| is_evicted(&crowd[n]))
            .collect();
        assert_eq!(evicted, [1]);
        crowd[1].evicted().await;
        assert_eq!(slots.lock().by_number.len(), SLOTS);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_addresses_with_one_slot_each_the_one_that_has_waited_longest_loses_it() {
        let slots = HandshakeSlots::new();
        let mut crowd = Vec::new();
        for n in 0..SLOTS {
            let n = u32::try_from(n).unwrap();
            crowd.push(slots.acquire(IpAddr::from(n.to_be_bytes())).await);
        }
        tokio::time::advance(STALLED).await;
        for slot in &crowd {
            slot.progress().note();
        }
        let stalled = [700, 3, 1_000];
        for n in stalled {
            crowd[n].waiting.since.store(0, Ordering::Relaxed);
        }
        let start = Instant::now();
        let mut newcomers = Vec::new();
        for n in 1..=3 {
            newcomers.push(slots.acquire(IpAddr::from([10, 0, 0, n])).await);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(stalled.iter().all(|&n| is_evicted(&crowd[n])));
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_while_all_go_on_and_takes_a_slot_that_gets_free() {
        let slots = HandshakeSlots::new();
        let mut crowd = Vec::new();
        for _ in 0..SLOTS {
            crowd.push(slots.acquire(CROWD).await);
        }
        let start = Instant::now();
        let newcomer = slots.acquire(OTHER).await;
        assert_eq!(start.elapsed(), STALLED);
        assert!(is_evicted(&crowd[0]));
        for slot in &crowd {
            slot.progress().note();
        }
        let (next, ()) = tokio::join!(slots.acquire(OTHER), async {
            drop(crowd.pop());
        });
        assert_eq!(start.elapsed(), STALLED);
        // It has answered since it was told: it may go on.
        assert!(timeout(STALLED / 2, crowd[0].evicted()).await.is_err());
        drop((newcomer, next, crowd));
        assert!(slots.lock().by_number.is_empty());
    }
}
