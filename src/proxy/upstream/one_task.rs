//! Runs an HTTP/2 connection, and all that hyper spawns for it, as one task.
//!
//! hyper hands a request to the connection's machinery and then asks whether the connection is
//! still good. Were that machinery another task, the API server's GOAWAY could come in between:
//! the request would be reported as never looked at although it was sent and answered, and sending
//! it again would do it twice. In one task nothing comes in between.

use std::pin::Pin;

use futures_util::stream::{FuturesUnordered, StreamExt};
use hyper::rt::Executor;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Spawned = Pin<Box<dyn Future<Output = ()> + Send>>;

/// hyper's executor: what it is given runs in [`Tasks::run`]. hyper 1.12 gives one future for the
/// connection, one for each request, which waits for the response, and one more for each body that
/// can't be sent at once.
#[derive(Clone)]
pub(super) struct OneTask(UnboundedSender<Spawned>);

/// What was spawned for one connection.
pub(super) struct Tasks(UnboundedReceiver<Spawned>);

/// An executor, and what runs its futures.
pub(super) fn one_task() -> (OneTask, Tasks) {
    let (sender, receiver) = unbounded_channel();
    (OneTask(sender), Tasks(receiver))
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for OneTask {
    fn execute(&self, future: F) {
        // Where nothing runs any more, the connection is gone.
        let _ = self.0.send(Box::pin(future));
    }
}

impl Tasks {
    /// Runs the connection and its futures until all have ended. Each is dropped at its end: the
    /// connection's tells whoever would send that it takes no more.
    pub(super) async fn run(
        mut self,
        connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
    ) {
        let mut running = FuturesUnordered::<Spawned>::new();
        running.push(Box::pin(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        }));
        let mut can_spawn = true;
        while can_spawn || !running.is_empty() {
            tokio::select! {
                spawned = self.0.recv(), if can_spawn => match spawned {
                    Some(future) => running.push(future),
                    None => can_spawn = false,
                },
                Some(()) = running.next(), if !running.is_empty() => {}
            }
        }
    }
}
