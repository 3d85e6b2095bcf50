//! The books: every request once, with who made it, what it was and how it ended.
//!
//! A request is an [`Entry`] with three moments: opened (its head was read), answered (the head of
//! a response came, or an error instead of one) and closed (its body ended, failed or was dropped).
//! The comparable count is the one at *answered*; what is in flight is opened less closed.
//!
//! A booking holds the snapshot lock for reading while it changes the counters that are compared
//! (opened, answered, closed); a snapshot holds it for writing. So a snapshot is one instant of all
//! of these, and the difference of two is exactly what was answered in between. Bytes of bodies and
//! events of watches are added without the lock.
//!
//! Names come from [`CallName`] and are bounded. A call has a row of its own only once an
//! authenticated client has made it; before, and for clients that are not authenticated, requests
//! are counted by the folded name, of which there are few. Beyond the caps a request is still
//! counted, in an overflow row, and the books say so.
//!
//! Invariant: no clock, no IO. Times come in as values.

mod answer;
mod books;
mod entry;
mod open_run;
mod pages;
mod party;
mod recent;
mod row;
mod run;
mod snapshot;
#[cfg(test)]
mod tests;
mod watch_events;

pub use answer::{Answer, ObjectRef, Standing, WithName};
pub use books::{Books, FOLDED_ROWS_MAX, PARTIES_MAX, ROWS_MAX};
pub use entry::{Ending, Entry};
pub use open_run::{OBJECTS_MAX, ObjectCount, RunDetail, RunOptions};
pub use pages::{JournalPage, PAGE_MAX, Position};
pub use party::{Party, UNAUTHENTICATED, UNPROVEN};
pub use row::{BUCKETS_SECONDS, Histogram, Outcome, Reason};
pub use run::RunError;
pub use snapshot::{CallCount, RowCount, Snapshot};
pub use watch_events::WatchCount;
