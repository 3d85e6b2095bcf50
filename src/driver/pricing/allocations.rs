//! What calls allocate in an API server, by readings of its `/metrics` between batches.

use std::{collections::BTreeMap, time::Instant};

use prices::Kind;
use stats::median;

/// Readings of what an API server has allocated.
#[derive(Debug, Default)]
pub(super) struct Allocations {
    /// Bytes at the last reading.
    last: Option<(Instant, f64)>,
    /// Bytes of what is read, and of each second in which nobody calls.
    page_bytes: f64,
    bytes_per_second: f64,
    found: BTreeMap<Kind, Vec<f64>>,
}

/// What went by between two readings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    seconds: f64,
    bytes: f64,
}

impl Allocations {
    /// Takes a reading; gives what went by since the last one.
    pub(super) fn read(&mut self, bytes: f64) -> Step {
        let now = Instant::now();
        let (then, before) = self.last.replace((now, bytes)).unwrap_or((now, bytes));
        Step {
            seconds: (now - then).as_secs_f64(),
            bytes: bytes - before,
        }
    }

    /// From steps without calls, short ones and long ones.
    pub(super) fn learn(&mut self, short: &[Step], long: &[Step]) {
        let middle = |steps: &[Step], value: fn(&Step) -> f64| {
            let values: Vec<f64> = steps.iter().map(value).collect();
            median(&values).unwrap_or_default()
        };
        let (seconds, bytes) = (
            middle(short, |step| step.seconds),
            middle(short, |step| step.bytes),
        );
        let longer = middle(long, |step| step.seconds) - seconds;
        let more = middle(long, |step| step.bytes) - bytes;
        self.bytes_per_second = if longer > 0.0 {
            (more / longer).max(0.0)
        } else {
            0.0
        };
        self.page_bytes = bytes - seconds * self.bytes_per_second;
    }

    /// A step in which so many calls were made.
    pub(super) fn add(&mut self, kind: Kind, step: Step, calls: u64) {
        let nobodys = self.page_bytes + step.seconds * self.bytes_per_second;
        let each = (step.bytes - nobodys) / calls as f64;
        self.found.entry(kind).or_default().push(each);
    }

    /// Bytes of a call.
    pub(super) fn per_call(&self) -> BTreeMap<Kind, f64> {
        let found = self.found.iter();
        found
            .filter_map(|(kind, each)| Some((kind.clone(), median(each)?.max(0.0))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use prices::{Size, What};

    use super::*;

    #[test]
    fn calls_are_told_from_the_reading_and_from_what_goes_on_alone() {
        let step = |seconds: f64, bytes: f64| Step { seconds, bytes };
        let mut allocations = Allocations::default();
        assert_eq!(allocations.read(5e6).bytes, 0.0);
        assert_eq!(allocations.read(9e6).bytes, 4e6);
        // A page takes 1 MB, and a second 2 MB.
        let (short, long) = ([step(0.1, 1.2e6); 3], [step(0.6, 2.2e6); 3]);
        allocations.learn(&short, &long);
        let kind = (What::Toll, Size::Small);
        for bytes in [2.4e6, 2.5e6, 90e6] {
            allocations.add(kind.clone(), step(0.2, bytes), 10);
        }
        let bytes = allocations.per_call()[&kind];
        assert!((bytes - 110e3).abs() < 1.0, "{bytes}");
    }
}
