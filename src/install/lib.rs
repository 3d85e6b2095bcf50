//! Puts proxies into a KubeVirt installation, takes them out again, and says how they are.
//!
//! Objects and patches are made by pure functions ([`objects`], [`patch`], [`customize`],
//! [`clashes`], [`template`], [`rollout`]); the rest talks to the API server and to nothing else: the books of a
//! pod are read through its pod proxy.
//!
//! Invariants: nothing is changed that does not carry Kubetoll's mark, and a command that fails or
//! is interrupted puts back what it found.

mod attach;
mod attached;
mod books;
pub mod clashes;
mod component;
pub mod customize;
mod detach;
mod error;
mod installer;
mod marks;
pub mod objects;
pub mod patch;
mod reasons;
pub mod rights;
pub mod rollout;
mod site;
mod status;
pub mod template;
#[cfg(test)]
mod tests;

pub use attach::Plan;
pub use attached::{Attached, Container, Member};
pub use component::{Component, WorkloadKind};
pub use detach::Detached;
pub use error::InstallError;
pub use installer::Installer;
