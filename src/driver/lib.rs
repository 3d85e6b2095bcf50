//! A run: opens the books of the proxies that take part, lets something happen, closes them.
//!
//! The driver sees proxies only over HTTP and talks to the API server directly, never through one.

mod bystander;
mod cleanup;
pub mod client;
mod error;
pub mod measure;
mod observe;
mod preflight;
pub mod proxies;
pub mod roads;
mod roster;
mod run;
pub mod scrape;
pub mod settle;
mod verdict;
pub mod workload;

pub use bystander::{Bystander, Look};
pub use error::RunError;
pub use preflight::rights_of;
pub use roster::{Changes as RosterChanges, Roster};
pub use run::{Driver, Plan, Progress};
