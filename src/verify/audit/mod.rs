//! kube-apiserver's audit log: counts what it says, and compares that with the books.
//!
//! Invariant: nothing is read but what the caller hands in, and memory is bounded by the watches
//! that are open and by a capped number of recent audit IDs.

mod count;
mod event;
#[cfg(test)]
mod tests;
mod verify;
#[cfg(test)]
mod verify_tests;

pub use count::{AuditCounter, AuditFilter};
pub use event::{AuditEntry, AuditReader, BadLine};
pub use verify::verify;
