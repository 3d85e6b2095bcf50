//! Futures that are polled no more often than something wakes them.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// A future beside another one in the same task. Only when something that it waits for wakes it is it
/// polled: to ask a timer or a token each time that the other has something to do takes locks.
pub(crate) struct WhenWoken<F> {
    future: F,
    shared: Arc<Shared>,
    waker: Waker,
}

struct Shared {
    is_woken: AtomicBool,
    task: AtomicWaker,
}

impl<F> WhenWoken<F> {
    pub(crate) fn new(future: F) -> Self {
        let shared = Arc::new(Shared {
            is_woken: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        let waker = Waker::from(Arc::clone(&shared));
        Self {
            future,
            shared,
            waker,
        }
    }
}

impl<F: Future + Unpin> Future for WhenWoken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // Before the question, so that no wake is missed.
        this.shared.task.register(context.waker());
        if !this.shared.is_woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let mut own = Context::from_waker(&this.waker);
        Pin::new(&mut this.future).poll(&mut own)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::poll_fn, pin::pin, time::Duration};

    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_polled_first_and_then_when_it_is_woken() {
        let polls = Cell::new(0);
        let mut inner = pin!(sleep(Duration::from_secs(5)));
        let counted = poll_fn(|context| {
            polls.set(polls.get() + 1);
            inner.as_mut().poll(context)
        });
        let mut woken = WhenWoken::new(counted);
        let start = Instant::now();
        for _ in 0..3 {
            let early = timeout(Duration::from_secs(1), &mut woken).await;
            assert!(early.is_err());
        }
        assert_eq!(polls.get(), 1);
        (&mut woken).await;
        assert_eq!(polls.get(), 2);
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }
}
