//! No head takes for ever.

use std::{pin::Pin, task::Context, time::Duration};

use tokio::time::{Sleep, sleep};

/// Longest time from a head's first byte to its last, and from the handshake to the first
/// request; kube-apiserver's own.
const HEAD_TIMEOUT: Duration = Duration::from_secs(32);

/// Runs while a head is awaited.
#[derive(Default)]
pub(super) struct HeadDeadline(Option<Pin<Box<Sleep>>>);

impl HeadDeadline {
    /// Whether a head has been awaited for too long; if not, the task is woken when it has. Where
    /// none is awaited, the time starts anew.
    pub(super) fn has_passed(&mut self, is_awaited: bool, context: &mut Context<'_>) -> bool {
        if !is_awaited {
            self.0 = None;
            return false;
        }
        let deadline = self.0.get_or_insert_with(|| Box::pin(sleep(HEAD_TIMEOUT)));
        deadline.as_mut().poll(context).is_ready()
    }
}
