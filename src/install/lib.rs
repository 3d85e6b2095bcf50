//! Puts proxies into a KubeVirt installation, takes them out again, and says how they are.
//!
//! Objects and patches are made by pure functions ([`objects`], [`patch`], [`customize`],
//! [`template`], [`rollout`]); the rest talks to the API server and to nothing else: the books of a
//! pod are read through its pod proxy.
//!
//! Invariants: nothing is changed that does not carry Kubetoll's mark, and a command that fails or
//! is interrupted puts back what it found.

mod attach;
mod attached;
mod books;
mod component;
pub mod customize;
mod detach;
mod error;
pub mod objects;
pub mod patch;
pub mod rights;
pub mod rollout;
mod site;
mod status;
pub mod template;
#[cfg(test)]
mod tests;

use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

pub use attach::Plan;
pub use attached::{Attached, Container, Member};
pub use component::{Component, WorkloadKind};
pub use detach::Detached;
pub use error::InstallError;

/// What every command needs: a cluster, how long to wait, and whom to tell.
pub struct Installer<'a> {
    /// The API server, with the user's rights.
    pub client: Client,
    /// KubeVirt's namespace; looked for in all of them otherwise.
    pub namespace: Option<String>,
    /// Longest wait for one component: its rollout, and its first calls.
    pub timeout: Duration,
    /// Ends waits.
    pub stop: CancellationToken,
    /// Takes a line of progress.
    pub say: &'a (dyn Fn(&str) + Sync),
}
