//! Who looks at something else while a run's books are open.

use std::{future::Future, pin::Pin};

/// A look, which ends when it is done.
pub type Look<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Told of the window of a run's books; the run waits for it.
pub trait Bystander: Send + Sync {
    /// The books are open, and nothing has been created yet.
    fn opened(&self) -> Look<'_>;
    /// The books are closed, and nothing has been deleted yet.
    fn closed(&self) -> Look<'_>;
}
