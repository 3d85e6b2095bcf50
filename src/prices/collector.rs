//! What garbage collection takes. A collection takes as much CPU as dozens of calls, and falls
//! into one batch in many by chance: it is taken off there, and each call is charged for what it
//! allocates.

use std::collections::BTreeMap;

use super::measured::{Measured, Memory, Size, What};

/// What garbage collection takes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Collector {
    /// Microseconds of a collection.
    us_per_collection: f64,
    /// Collections for each byte that is allocated.
    collections_per_byte: f64,
}

impl Collector {
    /// Of batches in which the number of collections differs: what batches of the same kind take more
    /// that have one more.
    pub(super) fn of(measured: &[Measured]) -> Self {
        let (mut together, mut spread) = (0.0, 0.0);
        let mut all = Memory::default();
        for batches in by_kind(measured).into_values() {
            let points: Vec<(f64, f64)> = batches
                .iter()
                .filter_map(|one| Some((one.usage.memory?.collections, one.usage.cpu_us)))
                .collect();
            let count = points.len().max(1) as f64;
            let mean_collections = points.iter().map(|point| point.0).sum::<f64>() / count;
            let mean_us = points.iter().map(|point| point.1).sum::<f64>() / count;
            for (collections, us) in points {
                together += (collections - mean_collections) * (us - mean_us);
                spread += (collections - mean_collections).powi(2);
            }
            for memory in batches.iter().filter_map(|one| one.usage.memory) {
                all.collections += memory.collections;
                all.allocated_bytes += memory.allocated_bytes;
            }
        }
        let ratio = |part: f64, of: f64| if of > 0.0 { (part / of).max(0.0) } else { 0.0 };
        Self {
            us_per_collection: ratio(together, spread),
            collections_per_byte: ratio(all.collections, all.allocated_bytes),
        }
    }

    /// Microseconds of a batch without the collections that fell into it, but with its share of all.
    pub(super) fn fair_us(&self, one: &Measured) -> f64 {
        let Some(memory) = one.usage.memory else {
            return one.usage.cpu_us;
        };
        let due = memory.allocated_bytes * self.collections_per_byte;
        one.usage.cpu_us + (due - memory.collections) * self.us_per_collection
    }
}

/// Batches by kind.
pub(super) type Kinds<'m> = BTreeMap<(What, Size), Vec<&'m Measured>>;

pub(super) fn by_kind(measured: &[Measured]) -> Kinds<'_> {
    let mut kinds = Kinds::new();
    for one in measured {
        let kind = (one.what.clone(), one.size);
        kinds.entry(kind).or_default().push(one);
    }
    kinds
}
