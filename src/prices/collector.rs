//! What garbage collection takes. A collection takes as much CPU as dozens of calls: it is taken off
//! where one fell into a batch, and each call is charged for what it allocates.

use super::measured::{Measured, Measurements};

/// Microseconds of the API server's CPU of a batch without the collections that fell into it, but
/// with its share of all.
pub(super) fn fair_us(one: &Measured, all: &Measurements) -> f64 {
    let allocated = all.allocated.get(&one.kind()).copied();
    let share = allocated.map_or(0.0, |bytes| bytes * all.collecting_us_per_byte);
    match one.usage.collecting_us {
        Some(us) => one.usage.cpu_us - us + share * one.calls as f64,
        // Nothing says where they fell: the mean of many batches has its share.
        None => one.usage.cpu_us,
    }
}
