//! Places for TLS handshakes: who does not go on with one gives its place up to who comes.

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

use super::eviction::evicted;

/// Most TLS handshakes at once. Only who has begun to shake hands counts: silent connections must
/// not keep others out.
const PLACES: usize = 1_024;
/// A handshake that has waited for its client for so long gives its place up to another one, if
/// there is no other place: more than the way to a far client and back takes.
const STALLED: Duration = Duration::from_millis(250);

/// The places.
pub(super) struct Handshakes {
    places: Mutex<Places>,
    /// Who comes first is served first.
    queue: Semaphore,
    freed: Notify,
    started: Instant,
}

#[derive(Default)]
struct Places {
    taken: BTreeMap<u64, Arc<Waiting>>,
    next: u64,
}

/// A handshake that waits for its client now and then.
struct Waiting {
    client: IpAddr,
    /// Since when it waits, in milliseconds since the places were made.
    since: AtomicU64,
    give_up: CancellationToken,
}

/// The place of one handshake, as long as it is held.
pub(super) struct Shaking {
    handshakes: Arc<Handshakes>,
    number: u64,
    waiting: Arc<Waiting>,
}

/// Tells a handshake's place that the proxy has answered its client.
#[derive(Clone)]
pub(super) struct Progress {
    handshakes: Arc<Handshakes>,
    waiting: Arc<Waiting>,
}

impl Handshakes {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            places: Mutex::default(),
            queue: Semaphore::new(1),
            freed: Notify::new(),
            started: Instant::now(),
        })
    }

    /// A place for a handshake with `client`. Where none is free, the address that holds most of
    /// them loses the one that has waited longest for its client; of several that hold equally
    /// many, whichever has.
    pub(super) async fn enter(self: &Arc<Self>, client: IpAddr) -> Shaking {
        let _turn = self.queue.acquire().await;
        loop {
            match self.try_enter(client) {
                Ok(shaking) => return shaking,
                Err(wait) => {
                    let _ = timeout(wait, self.freed.notified()).await;
                }
            }
        }
    }

    /// A place, or how long to wait for one at the longest.
    fn try_enter(self: &Arc<Self>, client: IpAddr) -> Result<Shaking, Duration> {
        let now = self.now();
        let mut places = self.lock();
        if places.taken.len() >= PLACES
            && let Some((number, waited)) = places.longest_waiting(now)
        {
            if waited < STALLED {
                return Err(STALLED - waited);
            }
            if let Some(waiting) = places.taken.remove(&number) {
                waiting.give_up.cancel();
            }
        }
        let waiting = Arc::new(Waiting {
            client,
            since: AtomicU64::new(now),
            give_up: CancellationToken::new(),
        });
        let number = places.next;
        places.next += 1;
        places.taken.insert(number, Arc::clone(&waiting));
        Ok(Shaking {
            handshakes: Arc::clone(self),
            number,
            waiting,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// Which place is given up next, and how long it has waited for its client. Who comes does not
    /// count: with one place of its own it would wait for that one, and all others behind it.
    fn longest_waiting(&self, now: u64) -> Option<(u64, Duration)> {
        let taken = self.taken.iter().map(|(&number, waiting)| {
            let since = waiting.since.load(Ordering::Relaxed);
            (number, waiting.client, since)
        });
        let (number, since) = evicted(taken, None)?;
        Some((number, Duration::from_millis(now.saturating_sub(since))))
    }
}

impl Shaking {
    /// What tells this place of progress.
    pub(super) fn progress(&self) -> Progress {
        Progress {
            handshakes: Arc::clone(&self.handshakes),
            waiting: Arc::clone(&self.waiting),
        }
    }

    /// Returns when the handshake must end for another one. Who was only waiting for this
    /// process's time gets it first: what counts is how long the client has been waited for.
    pub(super) async fn given_up(&self) {
        self.waiting.give_up.cancelled().await;
        loop {
            let since = self.waiting.since.load(Ordering::Relaxed);
            let waited = Duration::from_millis(self.handshakes.now().saturating_sub(since));
            if waited >= STALLED {
                return;
            }
            sleep(STALLED - waited).await;
        }
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        self.handshakes.lock().taken.remove(&self.number);
        self.handshakes.freed.notify_one();
    }
}

impl Progress {
    /// The proxy has answered: the client is waited for from now on. Bytes of the client are no
    /// progress, or a handshake that comes byte by byte would keep its place.
    pub(super) fn note(&self) {
        let now = self.handshakes.now();
        self.waiting.since.store(now, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROWD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn is_given_up(shaking: &Shaking) -> bool {
        shaking.waiting.give_up.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_without_progress_of_the_largest_crowd_gives_its_place_up() {
        let handshakes = Handshakes::new();
        let other = handshakes.enter(OTHER).await;
        let mut crowd = Vec::new();
        for _ in 1..PLACES {
            crowd.push(handshakes.enter(CROWD).await);
        }
        tokio::time::advance(STALLED).await;
        crowd[0].progress().note();
        let newcomer = handshakes.enter(OTHER).await;
        assert!(!is_given_up(&other) && !is_given_up(&newcomer));
        let given_up: Vec<_> = (0..crowd.len())
            .filter(|&n| is_given_up(&crowd[n]))
            .collect();
        assert_eq!(given_up, [1]);
        crowd[1].given_up().await;
        assert_eq!(handshakes.lock().taken.len(), PLACES);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_addresses_with_one_place_each_the_one_that_has_waited_longest_gives_it_up() {
        let handshakes = Handshakes::new();
        let mut crowd = Vec::new();
        for n in 0..PLACES {
            let n = u32::try_from(n).unwrap();
            crowd.push(handshakes.enter(IpAddr::from(n.to_be_bytes())).await);
        }
        tokio::time::advance(STALLED).await;
        for shaking in &crowd {
            shaking.progress().note();
        }
        let stalled = [700, 3, 1_000];
        for n in stalled {
            crowd[n].waiting.since.store(0, Ordering::Relaxed);
        }
        let start = Instant::now();
        let mut newcomers = Vec::new();
        for n in 1..=3 {
            newcomers.push(handshakes.enter(IpAddr::from([10, 0, 0, n])).await);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(stalled.iter().all(|&n| is_given_up(&crowd[n])));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_waits_while_all_are_at_it_and_takes_a_place_that_gets_free() {
        let handshakes = Handshakes::new();
        let mut crowd = Vec::new();
        for _ in 0..PLACES {
            crowd.push(handshakes.enter(CROWD).await);
        }
        let start = Instant::now();
        let newcomer = handshakes.enter(OTHER).await;
        assert_eq!(start.elapsed(), STALLED);
        assert!(is_given_up(&crowd[0]));
        for shaking in &crowd {
            shaking.progress().note();
        }
        let (next, ()) = tokio::join!(handshakes.enter(OTHER), async {
            drop(crowd.pop());
        });
        assert_eq!(start.elapsed(), STALLED);
        // It has answered since it was told: it may go on.
        assert!(timeout(STALLED / 2, crowd[0].given_up()).await.is_err());
        drop((newcomer, next, crowd));
        assert!(handshakes.lock().taken.is_empty());
    }
}
