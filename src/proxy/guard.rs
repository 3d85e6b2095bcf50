//! What one downstream connection may cost: how long it may be of no use, how many requests it may
//! take back, and when it must end as long as it has proved no credential.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    framing::Flaw,
    heads::{HeadBudget, Heads, NothingLeft},
};

/// A connection without a request is closed after so long; clients close theirs after 90 s.
const UNUSED_MAX: Duration = Duration::from_secs(120);
/// How long such a connection may take to notice that it is closing.
const FAREWELL: Duration = Duration::from_secs(10);
/// Requests that may be taken back at once: more than there can be streams, since a component
/// that stops takes back all of them.
const RESETS_BURST: u32 = 300;
/// Further requests per second that may be taken back.
const RESETS_PER_SECOND: u32 = 50;

/// How long a connection may take to end that has sent large heads or trailers and proved no
/// credential.
const LARGE_END: Duration = Duration::from_secs(32);

/// Watches over one downstream connection.
pub(super) struct Guard {
    created: Instant,
    /// How often the connection's task has had its turn.
    turns: AtomicU64,
    begun: AtomicU64,
    open: AtomicUsize,
    /// When a request ended last, in milliseconds since `created`.
    ended: AtomicU64,
    resets: Mutex<Resets>,
    flood: CancellationToken,
    flaw: OnceLock<(u64, Flaw)>,
    /// Whether the request that is open is answered though its client has ended its side of the
    /// connection; of HTTP/1.1 only.
    answers_half_closed: AtomicBool,
    authenticated: AtomicBool,
    /// Whether any request was answered.
    answered: AtomicBool,
    heads: Heads,
    upstream_ended: AtomicBool,
    /// The connection is to end once what is under way is answered.
    leaving: CancellationToken,
    /// It must, before long.
    large: CancellationToken,
}

impl Guard {
    /// Of a connection that shares this budget as long as it has proved no credential.
    pub(super) fn new(budget: Arc<HeadBudget>) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            created: now,
            turns: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            ended: AtomicU64::new(0),
            resets: Mutex::new(Resets::new(now)),
            flood: CancellationToken::new(),
            flaw: OnceLock::new(),
            answers_half_closed: AtomicBool::new(false),
            authenticated: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            heads: Heads::new(budget),
            upstream_ended: AtomicBool::new(false),
            leaving: CancellationToken::new(),
            large: CancellationToken::new(),
        })
    }

    /// A request begins; it lasts as long as the visit.
    pub(super) fn visit(self: &Arc<Self>) -> Visit {
        self.open.fetch_add(1, Ordering::Relaxed);
        Visit {
            number: self.begun.fetch_add(1, Ordering::Relaxed),
            guard: Arc::clone(self),
        }
    }

    /// The connection's task has its turn. Requests that began in the turn before have theirs in
    /// between.
    pub(super) fn begin_turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Which turn it is.
    pub(super) fn turn(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Whether no request is open.
    pub(super) fn is_idle(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    /// How many requests there have been.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether there has been no request yet.
    pub(super) fn is_new(&self) -> bool {
        self.begun() == 0
    }

    /// Says whether the request that is open may outlive its client's side of the connection.
    pub(super) fn answer_half_closed(&self, answers: bool) {
        self.answers_half_closed.store(answers, Ordering::Relaxed);
    }

    /// Whether it may.
    pub(super) fn answers_half_closed(&self) -> bool {
        self.answers_half_closed.load(Ordering::Relaxed)
    }

    /// Notes that the request with this number, from 0, has a head that may not be forwarded.
    pub(super) fn note_flaw(&self, number: u64, flaw: Flaw) {
        // Only the first counts: the connection ends with it.
        let _ = self.flaw.set((number, flaw));
    }

    /// Notes that the API server's answer to a request of this connection proved that it
    /// authenticated the request's credential.
    pub(super) fn note_authenticated(&self) {
        if !self.authenticated.swap(true, Ordering::Relaxed) {
            self.heads.release();
        }
    }

    /// Whether any such answer came.
    pub(super) fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Relaxed)
    }

    /// So much is there of a head that is not at its end.
    pub(super) fn head_grows(&self, bytes: usize) -> Result<(), NothingLeft> {
        if self.is_authenticated() {
            return Ok(());
        }
        self.heads.set_unfinished(bytes)
    }

    /// So much more is kept of what was read. A client whose first answer is still to come is waited
    /// for; without one, heads may never become requests.
    pub(super) fn head_is_kept(&self, bytes: usize) -> Result<(), NothingLeft> {
        if self.is_authenticated() {
            return Ok(());
        }
        self.heads.keep(bytes)?;
        let waits = !self.is_idle() && !self.answered.load(Ordering::Relaxed);
        if !waits && self.heads.is_above_free() {
            self.large.cancel();
        }
        Ok(())
    }

    /// A head came to its end.
    pub(super) fn head_ends(&self, cost: usize) -> Result<(), NothingLeft> {
        if self.is_authenticated() {
            return Ok(());
        }
        self.heads.end(cost)
    }

    /// Trailers of HTTP/2 came to their end.
    pub(super) fn trailers_end(&self, cost: usize) -> Result<(), NothingLeft> {
        if self.is_authenticated() {
            return Ok(());
        }
        self.heads.end_trailers(cost)?;
        self.leave_if_large();
        Ok(())
    }

    /// A request whose head cost so much is answered. Without a proved credential, no connection
    /// stays that has grown large buffers.
    pub(super) fn note_answer(&self, cost: usize) {
        if self.is_authenticated() {
            return;
        }
        self.answered.store(true, Ordering::Relaxed);
        self.heads.answer(cost);
        self.leave_if_large();
    }

    fn leave_if_large(&self) {
        if self.heads.is_above_free() {
            self.leaving.cancel();
            self.large.cancel();
        }
    }

    /// Notes that the API server ended a connection that it had for this client. Without a proved
    /// credential that is meant for the client: its connection ends, too, once what is under way
    /// is answered.
    pub(super) fn note_upstream_ended(&self) {
        self.upstream_ended.store(true, Ordering::SeqCst);
        self.leave_with_upstream();
    }

    /// An answer that is under way may still prove the credential.
    fn leave_with_upstream(&self) {
        let ended = self.upstream_ended.load(Ordering::SeqCst);
        if ended && self.open.load(Ordering::SeqCst) == 0 && !self.is_authenticated() {
            self.leaving.cancel();
        }
    }

    /// Whether it is to end with the answers that are under way.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Returns when the connection must be dropped. One that is of no use is first asked to
    /// end, by `stop`.
    pub(super) async fn must_end(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.flood.cancelled() => {}
            () = self.large() => {}
            () = self.asked_to_end(stop) => {}
        }
    }

    async fn asked_to_end(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.unused() => stop.cancel(),
            () = self.leaving.cancelled() => {
                stop.cancel();
                self.unused().await;
            }
        }
        sleep(FAREWELL).await;
        if !self.is_idle() {
            // A request was on its way: the connection ends with it.
            std::future::pending::<()>().await;
        }
    }

    async fn large(&self) {
        self.large.cancelled().await;
        sleep(LARGE_END).await;
        if self.is_authenticated() {
            std::future::pending::<()>().await;
        }
    }

    async fn unused(&self) {
        loop {
            let ended = Duration::from_millis(self.ended.load(Ordering::Relaxed));
            let since = self.created.elapsed().saturating_sub(ended);
            if !self.is_idle() {
                sleep(UNUSED_MAX).await;
            } else if since < UNUSED_MAX {
                sleep(UNUSED_MAX - since).await;
            } else {
                return;
            }
        }
    }

    fn note_reset(&self) {
        let mut resets = self.resets.lock().unwrap_or_else(PoisonError::into_inner);
        if !resets.allow(Instant::now()) && !self.flood.is_cancelled() {
            tracing::warn!("closing a connection: its client takes back too many requests");
            self.flood.cancel();
        }
    }
}

/// A request of a connection, as long as it is open.
pub(super) struct Visit {
    number: u64,
    guard: Arc<Guard>,
}

impl Visit {
    /// What is wrong with the request's head, if it may not be forwarded.
    pub(super) fn flaw(&self) -> Option<Flaw> {
        let (number, flaw) = self.guard.flaw.get()?;
        (*number == self.number).then_some(*flaw)
    }

    /// Notes that the request's client is one whose credential the API server accepts.
    pub(super) fn note_authenticated(&self) {
        self.guard.note_authenticated();
    }

    /// Notes that the client took the request back before it was answered.
    pub(super) fn taken_back(&self) {
        self.guard.note_reset();
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let ended = self.guard.created.elapsed().as_millis();
        let ended = u64::try_from(ended).unwrap_or(u64::MAX);
        self.guard.ended.store(ended, Ordering::Relaxed);
        self.guard.open.fetch_sub(1, Ordering::SeqCst);
        self.guard.leave_with_upstream();
    }
}

/// A bucket of requests that may be taken back.
struct Resets {
    left: u32,
    filled: Instant,
}

impl Resets {
    fn new(now: Instant) -> Self {
        Self {
            left: RESETS_BURST,
            filled: now,
        }
    }

    fn allow(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.filled).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds)
                .unwrap_or(u32::MAX)
                .saturating_mul(RESETS_PER_SECOND);
            self.left = self.left.saturating_add(more).min(RESETS_BURST);
            self.filled = now;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_streams_may_be_taken_back_at_once_but_not_for_ever() {
        let start = Instant::now();
        let mut resets = Resets::new(start);
        let allowed = (0..1_000).filter(|_| resets.allow(start)).count();
        assert_eq!(allowed, RESETS_BURST as usize);
        let later = start + Duration::from_secs(2);
        let allowed = (0..1_000).filter(|_| resets.allow(later)).count();
        assert_eq!(allowed, 2 * RESETS_PER_SECOND as usize);
        let much_later = later + Duration::from_secs(3_600);
        let allowed = (0..1_000).filter(|_| resets.allow(much_later)).count();
        assert_eq!(allowed, RESETS_BURST as usize);
    }

    #[test]
    fn a_connection_is_authenticated_once_an_answer_proved_it() {
        let guard = Guard::new(Arc::default());
        assert!(!guard.is_authenticated());
        guard.note_authenticated();
        assert!(guard.is_authenticated());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_large_heads_ends_after_its_answer_unless_it_is_authenticated() {
        for authenticated in [false, true] {
            let (guard, stop) = (Guard::new(Arc::default()), CancellationToken::new());
            let _open = guard.visit();
            guard.head_ends(1_000).unwrap();
            guard.note_answer(1_000);
            assert!(!guard.is_leaving());
            guard.head_ends(1 << 20).unwrap();
            if authenticated {
                guard.note_authenticated();
            }
            guard.note_answer(1 << 20);
            assert_eq!(guard.is_leaving(), !authenticated);
            let end = tokio::time::timeout(2 * LARGE_END, guard.must_end(&stop)).await;
            assert_eq!(end.is_ok(), !authenticated);
            assert_eq!(stop.is_cancelled(), !authenticated);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn heads_that_are_kept_end_a_connection_unless_its_first_answer_is_still_to_come() {
        for (open, answered, ends) in [
            (false, false, true),
            (true, true, true),
            (true, false, false),
        ] {
            let (guard, stop) = (Guard::new(Arc::default()), CancellationToken::new());
            let _open = open.then(|| guard.visit());
            if answered {
                guard.note_answer(1_000);
            }
            guard.head_is_kept(1 << 20).unwrap();
            let wait = LARGE_END + Duration::from_secs(1);
            let end = tokio::time::timeout(wait, guard.must_end(&stop)).await;
            assert_eq!(end.is_ok(), ends, "{open} {answered}");
        }
    }

    #[test]
    fn the_end_of_an_upstream_connection_ends_this_one_once_nothing_is_open_that_could_prove_it() {
        for authenticated in [false, true] {
            let guard = Guard::new(Arc::default());
            let visit = guard.visit();
            guard.note_upstream_ended();
            assert!(!guard.is_leaving());
            if authenticated {
                guard.note_authenticated();
            }
            drop(visit);
            assert_eq!(guard.is_leaving(), !authenticated);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unused_connection_is_asked_to_end_and_then_dropped() {
        let guard = Guard::new(Arc::default());
        let stop = CancellationToken::new();
        let visit = guard.visit();
        let start = Instant::now();
        let open = async {
            sleep(3 * UNUSED_MAX).await;
            drop(visit);
            stop.cancelled().await;
            start.elapsed()
        };
        let (asked, ()) = tokio::join!(open, guard.must_end(&stop));
        assert!(asked >= 4 * UNUSED_MAX, "{asked:?}");
        assert!(asked <= 5 * UNUSED_MAX, "{asked:?}");
        assert!(start.elapsed() >= asked + FAREWELL);
    }
}
