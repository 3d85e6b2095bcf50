//! What one downstream connection may cost: how long it may be idle, how many requests it may reset,
//! and when it must close as long as it has proved no credential.

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
    heads::{BudgetExhausted, HeadBudget, Heads},
    reset_budget::ResetBudget,
};
use crate::wire::framing::Flaw;

/// A connection without a request is closed after so long; clients close theirs after 90 s.
const IDLE_MAX: Duration = Duration::from_secs(120);
/// How long a connection may take to close that was asked to.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection stays that has sent large heads or trailers and proved no credential.
const OVER_BUDGET_MAX: Duration = Duration::from_secs(32);

/// Limits one downstream connection.
pub(crate) struct ConnectionGuard {
    created: Instant,
    /// How often the connection's task was polled.
    polls: AtomicU64,
    requests_begun: AtomicU64,
    requests_open: AtomicUsize,
    /// When a request ended last, in milliseconds since `created`.
    last_ended: AtomicU64,
    resets: Mutex<ResetBudget>,
    too_many_resets: CancellationToken,
    /// The number of the first request whose head may not be forwarded, and why.
    flaw: OnceLock<(u64, Flaw)>,
    /// Whether a head of HTTP/2 was refused before it was a request.
    refused_head: AtomicBool,
    /// Whether the open request is answered though its client has ended its side of the
    /// connection; of HTTP/1.1 only.
    answers_half_closed: AtomicBool,
    authenticated: AtomicBool,
    /// Whether any request was answered.
    answered: AtomicBool,
    heads: Heads,
    upstream_ended: AtomicBool,
    /// Requests in flight are answered, then the connection closes.
    draining: CancellationToken,
    /// It has [`OVER_BUDGET_MAX`] left.
    over_budget: CancellationToken,
}

impl ConnectionGuard {
    /// The guard of a new connection, which shares `budget` as long as it has proved no credential.
    pub(crate) fn new(budget: Arc<HeadBudget>) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            created: now,
            polls: AtomicU64::new(0),
            requests_begun: AtomicU64::new(0),
            requests_open: AtomicUsize::new(0),
            last_ended: AtomicU64::new(0),
            resets: Mutex::new(ResetBudget::new(now)),
            too_many_resets: CancellationToken::new(),
            flaw: OnceLock::new(),
            refused_head: AtomicBool::new(false),
            answers_half_closed: AtomicBool::new(false),
            authenticated: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            heads: Heads::new(budget),
            upstream_ended: AtomicBool::new(false),
            draining: CancellationToken::new(),
            over_budget: CancellationToken::new(),
        })
    }

    /// A head of HTTP/2 is refused, which ends the connection.
    pub(super) fn refuse_head(&self) {
        self.refused_head.store(true, Ordering::Relaxed);
    }

    /// Whether that has happened.
    pub(crate) fn has_refused_head(&self) -> bool {
        self.refused_head.load(Ordering::Relaxed)
    }

    /// A request begins; it is open until its guard is dropped.
    pub(crate) fn begin_request(self: &Arc<Self>) -> RequestGuard {
        self.requests_open.fetch_add(1, Ordering::Relaxed);
        RequestGuard {
            number: self.requests_begun.fetch_add(1, Ordering::Relaxed),
            connection: Arc::clone(self),
        }
    }

    /// The connection's task is polled. Requests that begin in one poll run before the next.
    pub(crate) fn begin_poll(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was polled.
    pub(super) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    /// Whether no request is open.
    pub(super) fn is_idle(&self) -> bool {
        self.requests_open.load(Ordering::Relaxed) == 0
    }

    /// How many requests there have been.
    pub(super) fn requests_begun(&self) -> u64 {
        self.requests_begun.load(Ordering::Relaxed)
    }

    /// Whether there has been no request yet.
    pub(super) fn is_new(&self) -> bool {
        self.requests_begun() == 0
    }

    /// Says whether the open request is answered though its client has ended its side.
    pub(crate) fn set_answers_half_closed(&self, answers: bool) {
        self.answers_half_closed.store(answers, Ordering::Relaxed);
    }

    /// Whether it is.
    pub(super) fn answers_half_closed(&self) -> bool {
        self.answers_half_closed.load(Ordering::Relaxed)
    }

    /// Notes that the request of this number, counted from 0, has a head that may not be forwarded.
    pub(super) fn note_flaw(&self, number: u64, flaw: Flaw) {
        // Only the first counts: the connection ends with it.
        let _ = self.flaw.set((number, flaw));
    }

    /// Notes that a response of the API server proved a credential of this connection.
    pub(crate) fn note_authenticated(&self) {
        if !self.authenticated.swap(true, Ordering::Relaxed) {
            self.heads.release();
        }
    }

    /// Whether any credential is proved.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Relaxed)
    }

    /// A head that has not ended costs `bytes` so far.
    pub(super) fn set_unfinished(&self, bytes: usize) -> Result<(), BudgetExhausted> {
        if self.is_authenticated() {
            return Ok(());
        }
        self.heads.set_unfinished(bytes)
    }

    /// HPACK's table may retain `bytes` more of what was read. A client whose first response is still
    /// to come is waited for; without a request, heads may never become one.
    pub(super) fn add_retained(&self, bytes: usize) -> Result<(), BudgetExhausted> {
        if self.is_authenticated() {
            return Ok(());
        }
        self.heads.add_retained(bytes)?;
        let waits = !self.is_idle() && !self.answered.load(Ordering::Relaxed);
        if !waits && self.heads.is_above_free() {
            self.over_budget.cancel();
        }
        Ok(())
    }

    /// A head that costs `cost` has ended.
    pub(crate) fn add_head(&self, cost: usize) -> Result<(), BudgetExhausted> {
        if self.is_authenticated() {
            return Ok(());
        }
        self.heads.add_head(cost)
    }

    /// Trailers of HTTP/2 that cost `cost` have ended.
    pub(super) fn add_trailers(&self, cost: usize) -> Result<(), BudgetExhausted> {
        if self.is_authenticated() {
            return Ok(());
        }
        self.heads.add_trailers(cost)?;
        self.drain_if_over_budget();
        Ok(())
    }

    /// A request whose head cost `cost` is answered. Without a proved credential, no connection
    /// stays that has grown large buffers.
    pub(crate) fn note_answer(&self, cost: usize) {
        if self.is_authenticated() {
            return;
        }
        self.answered.store(true, Ordering::Relaxed);
        self.heads.note_answer(cost);
        self.drain_if_over_budget();
    }

    fn drain_if_over_budget(&self) {
        if self.heads.is_above_free() {
            self.draining.cancel();
            self.over_budget.cancel();
        }
    }

    /// Notes that the API server ended an upstream connection of this one. Without a proved
    /// credential that is meant for the client: its connection drains, too.
    pub(crate) fn note_upstream_ended(&self) {
        self.upstream_ended.store(true, Ordering::SeqCst);
        self.drain_with_upstream();
    }

    /// Waits for requests in flight: their responses may still prove the credential.
    fn drain_with_upstream(&self) {
        let ended = self.upstream_ended.load(Ordering::SeqCst);
        if ended && self.requests_open.load(Ordering::SeqCst) == 0 && !self.is_authenticated() {
            self.draining.cancel();
        }
    }

    /// Whether the connection closes once the requests in flight are answered.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Returns when the connection must be dropped. One that is idle or drains is first asked to
    /// close, by `stop`.
    pub(crate) async fn must_close(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.too_many_resets.cancelled() => {}
            () = self.stays_over_budget() => {}
            () = self.asked_to_close(stop) => {}
        }
    }

    async fn asked_to_close(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.idle_too_long() => stop.cancel(),
            () = self.draining.cancelled() => {
                stop.cancel();
                self.idle_too_long().await;
            }
        }
        sleep(CLOSE_TIMEOUT).await;
        if !self.is_idle() {
            // A request was on its way: the connection closes with it.
            std::future::pending::<()>().await;
        }
    }

    async fn stays_over_budget(&self) {
        self.over_budget.cancelled().await;
        sleep(OVER_BUDGET_MAX).await;
        if self.is_authenticated() {
            std::future::pending::<()>().await;
        }
    }

    async fn idle_too_long(&self) {
        loop {
            let ended = Duration::from_millis(self.last_ended.load(Ordering::Relaxed));
            let since = self.created.elapsed().saturating_sub(ended);
            if !self.is_idle() {
                sleep(IDLE_MAX).await;
            } else if since < IDLE_MAX {
                sleep(IDLE_MAX - since).await;
            } else {
                return;
            }
        }
    }

    fn note_reset(&self) {
        let mut resets = self.resets.lock().unwrap_or_else(PoisonError::into_inner);
        if !resets.take(Instant::now()) && !self.too_many_resets.is_cancelled() {
            tracing::warn!("closing a connection: its client takes back too many requests");
            self.too_many_resets.cancel();
        }
    }
}

/// A request of a connection; it is open until this is dropped.
pub(crate) struct RequestGuard {
    number: u64,
    connection: Arc<ConnectionGuard>,
}

impl RequestGuard {
    /// What is wrong with the request's head, if it may not be forwarded.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        let (number, flaw) = self.connection.flaw.get()?;
        (*number == self.number).then_some(*flaw)
    }

    /// Whether the client has proved a credential.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.connection.is_authenticated()
    }

    /// Notes that the API server accepts the credential of the request's client.
    pub(crate) fn note_authenticated(&self) {
        self.connection.note_authenticated();
    }

    /// Notes that the client reset the request before it was answered.
    pub(crate) fn note_client_reset(&self) {
        self.connection.note_reset();
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let connection = &self.connection;
        let ended = connection.created.elapsed().as_millis();
        let ended = u64::try_from(ended).unwrap_or(u64::MAX);
        connection.last_ended.store(ended, Ordering::Relaxed);
        connection.requests_open.fetch_sub(1, Ordering::SeqCst);
        connection.drain_with_upstream();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_authenticated_once_an_answer_proved_it() {
        let guard = ConnectionGuard::new(Arc::default());
        assert!(!guard.is_authenticated());
        guard.note_authenticated();
        assert!(guard.is_authenticated());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_large_heads_ends_after_its_answer_unless_it_is_authenticated() {
        for authenticated in [false, true] {
            let (guard, stop) = (
                ConnectionGuard::new(Arc::default()),
                CancellationToken::new(),
            );
            let _open = guard.begin_request();
            guard.add_head(1_000).unwrap();
            guard.note_answer(1_000);
            assert!(!guard.is_draining());
            guard.add_head(1 << 20).unwrap();
            if authenticated {
                guard.note_authenticated();
            }
            guard.note_answer(1 << 20);
            assert_eq!(guard.is_draining(), !authenticated);
            let end = tokio::time::timeout(2 * OVER_BUDGET_MAX, guard.must_close(&stop)).await;
            assert_eq!(end.is_ok(), !authenticated);
            assert_eq!(stop.is_cancelled(), !authenticated);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn heads_that_are_retained_end_a_connection_unless_its_first_answer_is_still_to_come() {
        for (open, answered, ends) in [
            (false, false, true),
            (true, true, true),
            (true, false, false),
        ] {
            let (guard, stop) = (
                ConnectionGuard::new(Arc::default()),
                CancellationToken::new(),
            );
            let _open = open.then(|| guard.begin_request());
            if answered {
                guard.note_answer(1_000);
            }
            guard.add_retained(1 << 20).unwrap();
            let wait = OVER_BUDGET_MAX + Duration::from_secs(1);
            let end = tokio::time::timeout(wait, guard.must_close(&stop)).await;
            assert_eq!(end.is_ok(), ends, "{open} {answered}");
        }
    }

    #[test]
    fn the_end_of_an_upstream_connection_ends_this_one_once_nothing_is_open_that_could_prove_it() {
        for authenticated in [false, true] {
            let guard = ConnectionGuard::new(Arc::default());
            let request = guard.begin_request();
            guard.note_upstream_ended();
            assert!(!guard.is_draining());
            if authenticated {
                guard.note_authenticated();
            }
            drop(request);
            assert_eq!(guard.is_draining(), !authenticated);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unused_connection_is_asked_to_end_and_then_dropped() {
        let guard = ConnectionGuard::new(Arc::default());
        let stop = CancellationToken::new();
        let request = guard.begin_request();
        let start = Instant::now();
        let open = async {
            sleep(3 * IDLE_MAX).await;
            drop(request);
            stop.cancelled().await;
            start.elapsed()
        };
        let (asked, ()) = tokio::join!(open, guard.must_close(&stop));
        assert!(asked >= 4 * IDLE_MAX, "{asked:?}");
        assert!(asked <= 5 * IDLE_MAX, "{asked:?}");
        assert!(start.elapsed() >= asked + CLOSE_TIMEOUT);
    }
}
