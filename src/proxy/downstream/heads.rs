//! What heads of requests may cost before a connection has proved a credential: as long as it has
//! not, the API server may refuse all of them.

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
pub(crate) struct HeadBudget {
    left: AtomicUsize,
}

/// The budget has nothing left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many bytes of requests from clients that have not proved a credential yet")]
pub(crate) struct BudgetExhausted;

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
    /// What HPACK's table may retain. It never gets less: an entry is there until others need its
    /// place.
    retained: usize,
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
    fn take(&self, bytes: usize) -> Result<(), BudgetExhausted> {
        let less = |left: usize| left.checked_sub(bytes);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map(|_| ()).map_err(|_| BudgetExhausted)
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

    /// A head that costs `bytes` has ended.
    pub(super) fn add_head(&self, bytes: usize) -> Result<(), BudgetExhausted> {
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

    /// Trailers that cost `bytes` have ended. Their stream may last as long as the connection.
    pub(super) fn add_trailers(&self, bytes: usize) -> Result<(), BudgetExhausted> {
        self.change(|sent| {
            sent.large = sent.large.saturating_add(bytes);
            sent.unfinished = 0;
        })
    }

    /// A head that has not ended costs `bytes` so far.
    pub(super) fn set_unfinished(&self, bytes: usize) -> Result<(), BudgetExhausted> {
        self.change(|sent| sent.unfinished = bytes)
    }

    /// HPACK's table may retain `bytes` more, of heads and what came between them.
    pub(super) fn add_retained(&self, bytes: usize) -> Result<(), BudgetExhausted> {
        self.change(|sent| sent.retained = sent.retained.saturating_add(bytes))
    }

    /// A request whose head cost `bytes` is answered.
    pub(super) fn note_answer(&self, bytes: usize) {
        if bytes <= SMALL {
            // It gets less, which can't fail.
            let _ = self.change(|sent| sent.small = sent.small.saturating_sub(bytes));
        }
    }

    /// Whether more than the free amount stays of heads and trailers.
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

    fn change(&self, change: impl FnOnce(&mut Sent)) -> Result<(), BudgetExhausted> {
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
    /// What stays as long as the connection. Over HTTP/2, large heads are among what is retained.
    fn lasting(&self) -> usize {
        self.large.max(self.retained)
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

/// What the head of a request costs, in bytes: its target and its header lines.
pub(crate) fn cost<B>(request: &Request<B>) -> usize {
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
        first.add_head(FREE).unwrap();
        assert!(!first.is_above_free());
        assert_eq!(left(), BUDGET);
        first.set_unfinished(1_000).unwrap();
        assert_eq!(left(), BUDGET - 1_000);
        first.add_head(400).unwrap();
        assert!(!first.is_above_free());
        assert_eq!(left(), BUDGET - 400);
        second.add_head(FREE + BUDGET - 400).unwrap();
        assert_eq!(first.set_unfinished(1), Err(BudgetExhausted));
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
        heads.add_head(2 * FREE).unwrap();
        assert_eq!(left(), BUDGET - FREE);
        heads.release();
        assert_eq!(left(), BUDGET);
        for bytes in [2 * FREE, 2 * BUDGET] {
            heads.add_head(bytes).unwrap();
            heads.add_trailers(bytes).unwrap();
            heads.set_unfinished(bytes).unwrap();
            heads.note_answer(bytes);
            assert_eq!(left(), BUDGET);
        }
        assert!(!heads.is_above_free());
    }

    #[test]
    fn small_heads_that_are_answered_cost_nothing_any_more() {
        let heads = Heads::new(Arc::default());
        for _ in 0..1_000 {
            heads.add_head(SMALL).unwrap();
            heads.note_answer(SMALL);
        }
        assert!(!heads.is_above_free());
        for _ in 0..=FREE / SMALL {
            heads.add_head(SMALL).unwrap();
        }
        assert!(!heads.is_above_free());
        for _ in 0..=FREE / SMALL {
            heads.add_head(SMALL + 1).unwrap();
            heads.note_answer(SMALL + 1);
        }
        assert!(heads.is_above_free());
    }

    #[test]
    fn what_a_table_retains_is_never_given_back_before_the_end() {
        let budget = Arc::new(HeadBudget::default());
        let left = || budget.left.load(Ordering::Relaxed);
        let heads = Heads::new(Arc::clone(&budget));
        heads.add_retained(FREE).unwrap();
        assert!(!heads.is_above_free());
        heads.add_head(SMALL).unwrap();
        assert_eq!(left(), BUDGET - SMALL);
        heads.add_retained(SMALL).unwrap();
        heads.note_answer(SMALL);
        assert_eq!(left(), BUDGET - SMALL);
        assert!(heads.is_above_free());
        assert_eq!(heads.add_retained(BUDGET), Err(BudgetExhausted));
        drop(heads);
        assert_eq!(left(), BUDGET);
    }

    #[test]
    fn trailers_cost_what_they_are_as_long_as_the_connection() {
        let heads = Heads::new(Arc::default());
        heads.set_unfinished(1_000).unwrap();
        heads.add_trailers(FREE).unwrap();
        assert!(!heads.is_above_free());
        assert_eq!(heads.budget.left.load(Ordering::Relaxed), BUDGET);
        heads.add_trailers(1).unwrap();
        heads.note_answer(1);
        assert!(heads.is_above_free());
        assert_eq!(heads.add_trailers(BUDGET), Err(BudgetExhausted));
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
