//! What heads of requests may cost before a connection has proved a credential: nobody knows then
//! whether the API server will want to hear anything of them.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use http::Request;

/// Bytes of heads that each such connection may send: some dozens of requests with the token of a
/// service account, or one with a token of the longest kind.
const FREE: usize = 64 << 10;
/// What all such connections together may send beyond that, at any time. What is held of a byte is
/// up to three of them: what was read, what is sent, and what grew to hold either.
const BUDGET: usize = 16 << 20;
/// A head up to this size costs nothing any more once it is answered: no buffer has grown for it.
const SMALL: usize = 4 << 10;
/// What a line of a head costs besides its bytes.
const LINE: usize = 128;

/// What is left for connections without a proved credential, over all of them.
pub(super) struct HeadBudget {
    left: AtomicUsize,
}

/// Nothing is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many bytes of requests from clients that have not proved a credential yet")]
pub(super) struct NothingLeft;

/// The heads of one connection, as long as no credential is proved.
pub(super) struct Heads {
    budget: Arc<HeadBudget>,
    sent: Mutex<Sent>,
}

#[derive(Default)]
struct Sent {
    /// Of trailers, and of heads that are not small. It never gets less: buffers stay as large as
    /// they were.
    large: usize,
    /// Of small heads that are not answered.
    small: usize,
    /// Of the head that has begun.
    unfinished: usize,
    /// What HPACK's table may hold on to. It never gets less: an entry is there until others need
    /// its place.
    kept: usize,
    /// What was taken from the budget.
    taken: usize,
    /// Nothing is taken any more. Who has just seen that no credential was proved may still come
    /// with a head.
    is_released: bool,
}

impl Default for HeadBudget {
    fn default() -> Self {
        Self {
            left: AtomicUsize::new(BUDGET),
        }
    }
}

impl HeadBudget {
    fn take(&self, bytes: usize) -> Result<(), NothingLeft> {
        let less = |left: usize| left.checked_sub(bytes);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map(|_| ()).map_err(|_| NothingLeft)
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Heads {
    pub(super) fn new(budget: Arc<HeadBudget>) -> Self {
        Self {
            budget,
            sent: Mutex::default(),
        }
    }

    /// A head has come to its end.
    pub(super) fn end(&self, bytes: usize) -> Result<(), NothingLeft> {
        self.change(|sent| {
            let sum = if bytes > SMALL {
                &mut sent.large
            } else {
                &mut sent.small
            };
            *sum = sum.saturating_add(bytes);
            sent.unfinished = 0;
        })
    }

    /// Trailers have come to their end. Their stream may last as long as the connection.
    pub(super) fn end_trailers(&self, bytes: usize) -> Result<(), NothingLeft> {
        self.change(|sent| {
            sent.large = sent.large.saturating_add(bytes);
            sent.unfinished = 0;
        })
    }

    /// So much is there of a head that is not at its end.
    pub(super) fn set_unfinished(&self, bytes: usize) -> Result<(), NothingLeft> {
        self.change(|sent| sent.unfinished = bytes)
    }

    /// HPACK's table may hold on to so many bytes more, heads and what came between them.
    pub(super) fn keep(&self, bytes: usize) -> Result<(), NothingLeft> {
        self.change(|sent| sent.kept = sent.kept.saturating_add(bytes))
    }

    /// A request whose head cost so much is answered.
    pub(super) fn answer(&self, bytes: usize) {
        if bytes <= SMALL {
            // It gets less, which can't fail.
            let _ = self.change(|sent| sent.small = sent.small.saturating_sub(bytes));
        }
    }

    /// Whether more stays of what was sent, of trailers too, than each connection may send.
    pub(super) fn is_above_free(&self) -> bool {
        self.lock().lasting() > FREE
    }

    /// Gives everything back and counts nothing more: a credential is proved, or the connection is
    /// gone.
    pub(super) fn release(&self) {
        let released = Sent {
            is_released: true,
            ..Sent::default()
        };
        let taken = std::mem::replace(&mut *self.lock(), released).taken;
        self.budget.give_back(taken);
    }

    fn change(&self, change: impl FnOnce(&mut Sent)) -> Result<(), NothingLeft> {
        let mut sent = self.lock();
        if sent.is_released {
            return Ok(());
        }
        change(&mut sent);
        let due = sent.due();
        if due > sent.taken {
            self.budget.take(due - sent.taken)?;
        } else {
            self.budget.give_back(sent.taken - due);
        }
        sent.taken = due;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
    /// What stays as long as the connection. Large heads are among what is kept, over HTTP/2.
    fn lasting(&self) -> usize {
        self.large.max(self.kept)
    }

    fn due(&self) -> usize {
        self.lasting()
            .saturating_add(self.small)
            .saturating_add(self.unfinished)
            .saturating_sub(FREE)
    }
}

impl Drop for Heads {
    fn drop(&mut self) {
        self.release();
    }
}

/// What the head of a request costs.
pub(super) fn cost<B>(request: &Request<B>) -> usize {
    let target = request.uri().path_and_query();
    let target = target.map_or(0, |target| target.as_str().len());
    let lines = request.headers().iter();
    lines.fold(target + LINE, |sum, (name, value)| {
        sum + name.as_str().len() + value.len() + LINE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_beyond_the_free_amount_is_bounded_over_all_and_given_back() {
        let budget = Arc::new(HeadBudget::default());
        let left = || budget.left.load(Ordering::Relaxed);
        let connection = || Heads::new(Arc::clone(&budget));
        let (first, second) = (connection(), connection());
        first.end(FREE).unwrap();
        assert!(!first.is_above_free());
        assert_eq!(left(), BUDGET);
        first.set_unfinished(1_000).unwrap();
        assert_eq!(left(), BUDGET - 1_000);
        first.end(400).unwrap();
        assert!(!first.is_above_free());
        assert_eq!(left(), BUDGET - 400);
        second.end(FREE + BUDGET - 400).unwrap();
        assert_eq!(first.set_unfinished(1), Err(NothingLeft));
        assert_eq!(connection().set_unfinished(FREE), Ok(()));
        drop(second);
        assert_eq!(left(), BUDGET - 400);
        assert_eq!(first.set_unfinished(1), Ok(()));
        first.release();
        assert_eq!(left(), BUDGET);
        drop(first);
        assert_eq!(left(), BUDGET);
    }

    #[test]
    fn nothing_is_taken_after_the_release() {
        let heads = Heads::new(Arc::default());
        let left = || heads.budget.left.load(Ordering::Relaxed);
        heads.end(2 * FREE).unwrap();
        assert_eq!(left(), BUDGET - FREE);
        heads.release();
        assert_eq!(left(), BUDGET);
        for bytes in [2 * FREE, 2 * BUDGET] {
            heads.end(bytes).unwrap();
            heads.end_trailers(bytes).unwrap();
            heads.set_unfinished(bytes).unwrap();
            heads.answer(bytes);
            assert_eq!(left(), BUDGET);
        }
        assert!(!heads.is_above_free());
    }

    #[test]
    fn small_heads_that_are_answered_cost_nothing_any_more() {
        let heads = Heads::new(Arc::default());
        for _ in 0..1_000 {
            heads.end(SMALL).unwrap();
            heads.answer(SMALL);
        }
        assert!(!heads.is_above_free());
        for _ in 0..=FREE / SMALL {
            heads.end(SMALL).unwrap();
        }
        assert!(!heads.is_above_free());
        for _ in 0..=FREE / SMALL {
            heads.end(SMALL + 1).unwrap();
            heads.answer(SMALL + 1);
        }
        assert!(heads.is_above_free());
    }

    #[test]
    fn what_a_table_holds_on_to_is_never_given_back_before_the_end() {
        let budget = Arc::new(HeadBudget::default());
        let left = || budget.left.load(Ordering::Relaxed);
        let heads = Heads::new(Arc::clone(&budget));
        heads.keep(FREE).unwrap();
        assert!(!heads.is_above_free());
        heads.end(SMALL).unwrap();
        assert_eq!(left(), BUDGET - SMALL);
        heads.keep(SMALL).unwrap();
        heads.answer(SMALL);
        assert_eq!(left(), BUDGET - SMALL);
        assert!(heads.is_above_free());
        assert_eq!(heads.keep(BUDGET), Err(NothingLeft));
        drop(heads);
        assert_eq!(left(), BUDGET);
    }

    #[test]
    fn trailers_cost_what_they_are_as_long_as_the_connection() {
        let heads = Heads::new(Arc::default());
        heads.set_unfinished(1_000).unwrap();
        heads.end_trailers(FREE).unwrap();
        assert!(!heads.is_above_free());
        assert_eq!(heads.budget.left.load(Ordering::Relaxed), BUDGET);
        heads.end_trailers(1).unwrap();
        heads.answer(1);
        assert!(heads.is_above_free());
        assert_eq!(heads.end_trailers(BUDGET), Err(NothingLeft));
    }

    #[test]
    fn a_head_costs_its_target_and_its_lines() {
        let request = Request::get("https://p/api?x=y")
            .header("authorization", "Bearer t")
            .body(())
            .unwrap();
        assert_eq!(cost(&request), 8 + 13 + 8 + 2 * LINE);
    }
}
