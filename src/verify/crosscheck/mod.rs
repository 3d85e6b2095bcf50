//! The books of the wire beside the counters that components have of themselves.
//!
//! A component's counter sees what goes through the clients that it was put into, and nothing
//! tells when a client is made without it. The wire sees every call.
//!
//! Invariant: pure. What was answered while a reading was taken is told apart, so that a
//! difference is a difference; a component that was restarted gives no difference.

mod compare;
mod reading;
mod usage;
mod window;

pub use exchange::ExpositionError;
pub use reading::Reading;
pub use window::{Moment, Verdict, Window, failed, verdict};
