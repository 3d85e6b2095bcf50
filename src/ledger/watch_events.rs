//! The events of watches, counted beside the row that counts the watches themselves.

use std::sync::atomic::{AtomicU64, Ordering};

use recorder::{EventCounts, Unread};

/// How many types of events there are, with one for all others.
const TYPES: usize = 6;

/// The events of one row's watches.
#[derive(Default)]
pub(super) struct WatchEvents {
    by_type: [AtomicU64; TYPES],
    /// Watches whose events could not be read, or not all of them.
    unread: [AtomicU64; Unread::ALL.len()],
}

/// The events that one row's watches have delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchCount {
    /// The id of the row that counts the watches.
    pub row: u32,
    /// Events of those watches that could be read.
    pub events: EventCounts,
    /// Watches whose events could not be read, or not all of them, by the reason; those without one
    /// are left out.
    pub unread: Vec<(Unread, u64)>,
}

impl WatchEvents {
    /// Counts what has come since `before`.
    pub(super) fn add(&self, before: &EventCounts, now: &EventCounts) {
        let pairs = now.by_type().into_iter().zip(before.by_type());
        for (counter, ((_, now), (_, before))) in self.by_type.iter().zip(pairs) {
            if now > before {
                counter.fetch_add(now - before, Ordering::Relaxed);
            }
        }
    }

    /// Counts a watch whose events can't be read.
    pub(super) fn add_unread(&self, why: Unread) {
        for (counter, one) in self.unread.iter().zip(Unread::ALL) {
            counter.fetch_add(u64::from(one == why), Ordering::Relaxed);
        }
    }

    /// What was counted, if anything was.
    pub(super) fn read(&self, row: u32) -> Option<WatchCount> {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let events = EventCounts::of_types(self.by_type.each_ref().map(load));
        let unread = Unread::ALL.into_iter().zip(self.unread.iter().map(load));
        let count = WatchCount {
            row,
            events,
            unread: unread.filter(|(_, count)| *count > 0).collect(),
        };
        let is_empty = count.events == EventCounts::default() && count.unread.is_empty();
        (!is_empty).then_some(count)
    }
}
