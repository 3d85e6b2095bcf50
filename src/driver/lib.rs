//! A run: opens the books of the proxies that take part, lets something happen, closes them.
//!
//! The driver sees proxies only over HTTP and talks to the API server directly, never through one.

mod at_once;
mod checks;
mod cleanup;
pub mod client;
pub mod component_metrics;
mod component_watch;
mod context;
mod create;
mod error;
mod made;
pub mod measure;
mod observe;
mod plan;
mod preflight;
pub mod proxies;
pub mod reach;
mod roster;
mod run;
pub mod scrape;
pub mod settle;
pub mod transport;
mod verdict;
mod wait;
mod window_hook;
pub mod workload;

pub use component_watch::ComponentWatch;
pub use context::{Driver, Progress};
pub use error::RunError;
pub use plan::Plan;
pub use preflight::rights_of;
pub use roster::{Changes as RosterChanges, Roster};
pub use window_hook::{HookFuture, WindowHook};
