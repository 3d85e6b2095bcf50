//! kube-apiserver's audit log: counts what it says, and compares that with the books.
//!
//! Invariant: nothing is read but what the caller hands in, and memory is bounded by the watches
//! that are open and by a capped number of recent requests.

mod by_count;
mod count;
mod event;
mod findings;
mod matching;
mod reader;
mod recent;
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
pub use verify::verify;
