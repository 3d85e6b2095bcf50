//! kube-apiserver's audit log: counts what it says, compares that with the books, and has its
//! requests one by one for `findings`.
//!
//! Invariant: nothing is read but what the caller hands in. Memory is bounded by the watches that are
//! open and by a capped number of recent requests, but for [`AuditRequests`], which grows with the
//! requests, and never with their bodies.

mod bodies;
mod by_count;
mod count;
mod event;
mod findings;
mod matching;
mod numbers;
mod reader;
mod recent;
mod requests;
#[cfg(test)]
mod requests_tests;
mod seen;
#[cfg(test)]
mod tests;
mod verify;
#[cfg(test)]
mod verify_tests;
mod wrapped;

pub use count::{AuditCounter, AuditFilter};
pub use event::AuditEntry;
pub use reader::{AuditReader, BadLine};
pub use requests::AuditRequests;
pub use verify::verify;
