//! A run: opens the books of the proxies that take part, lets something happen, closes them.
//!
//! The driver sees proxies only over HTTP and talks to the API server directly, never through one.

mod at_once;
mod capacity;
mod causes;
mod checks;
mod cleanup;
pub mod client;
pub mod component_metrics;
mod component_watch;
mod context;
mod create;
mod error;
mod flow_control;
mod last_known;
mod made;
pub mod measure;
mod not_running;
mod observe;
mod plan;
mod preflight;
pub mod pricing;
pub mod proxies;
pub mod reach;
mod roster;
mod run;
mod salvage;
pub mod scrape;
pub mod settle;
mod spool;
mod times;
pub mod transport;
mod unclosed;
mod verdict;
mod wait;
mod window_hook;
pub mod workload;

pub use component_watch::ComponentWatch;
pub use context::{Driver, Progress};
pub use error::{RunError, RunFailed};
pub use flow_control::{name_flow_schemas, was_throttled};
pub use last_known::LastKnown;
pub use plan::Plan;
pub use preflight::{rights_if_given, rights_of};
pub use roster::{Changes as RosterChanges, Roster};
pub use spool::Spool;
pub use unclosed::read_left;
pub use window_hook::{HookFuture, Hooks, WindowHook};
