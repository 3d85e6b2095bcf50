//! What else is done at the two ends of the window in which a run's books are open.

use std::{future::Future, pin::Pin};

/// What a hook does; ends when it is done.
pub type HookFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Called at the two ends of the window; the run waits for it. What goes wrong in a hook ends no
/// run: the hook keeps it.
pub trait WindowHook: Send + Sync {
    /// The books are open, and nothing has been created yet.
    fn on_open(&self) -> HookFuture<'_>;
    /// The books are closed, and nothing has been deleted yet.
    fn on_close(&self) -> HookFuture<'_>;
}

/// Several hooks, one after another.
pub struct Hooks<'h>(pub Vec<&'h dyn WindowHook>);

impl WindowHook for Hooks<'_> {
    fn on_open(&self) -> HookFuture<'_> {
        Box::pin(async move {
            for hook in &self.0 {
                hook.on_open().await;
            }
        })
    }

    fn on_close(&self) -> HookFuture<'_> {
        Box::pin(async move {
            for hook in self.0.iter().rev() {
                hook.on_close().await;
            }
        })
    }
}
