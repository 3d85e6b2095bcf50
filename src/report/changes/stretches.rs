//! Where a metric is present in a series, and where it is missing.

use std::ops::Range;

use stats::{Detection, change_points};

/// From this share of the runs of a stretch on, a metric that they have is present in it.
const PRESENT_FROM_SHARE: f64 = 0.75;
/// Below this share it is missing. A metric in between comes and goes: neither is news.
const MISSING_BELOW_SHARE: f64 = 0.15;

/// Whether the runs of a stretch have the metric, but for single ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Present,
    Missing,
}

/// Consecutive runs that have the metric, or don't.
pub(super) struct Stretch {
    pub(super) runs: Range<usize>,
    pub(super) presence: Presence,
    /// p of the change at its beginning.
    pub(super) p: f64,
}

/// Where a metric is present and where it is missing. What is between two such stretches, too short
/// or with a metric that comes and goes, belongs to the second one if they differ: it began to
/// change there.
pub(super) fn stretches(values: &[Option<f64>], lasting: usize, how: &Detection) -> Vec<Stretch> {
    let present = values
        .iter()
        .map(|value| f64::from(u8::from(value.is_some())));
    let present: Vec<f64> = present.collect();
    let points = change_points(&present, how);
    let starts = points.iter().map(|point| (point.index, point.p));
    let starts = [(0, 1.0)].into_iter().chain(starts);
    let ends = points
        .iter()
        .map(|point| point.index)
        .chain([present.len()]);
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut unclear_since = None;
    for ((start, p), end) in starts.zip(ends) {
        let (since, p) = *unclear_since.get_or_insert((start, p));
        let Some(presence) = presence(&present[start..end]).filter(|_| end - start >= lasting)
        else {
            continue;
        };
        unclear_since = None;
        match stretches.last_mut() {
            Some(before) if before.presence == presence => before.runs.end = end,
            _ => stretches.push(Stretch {
                runs: since..end,
                presence,
                p,
            }),
        }
    }
    if let (Some(last), Some(_)) = (stretches.last_mut(), unclear_since) {
        last.runs.end = present.len();
    }
    stretches
}

/// What runs have, each 1 with the metric and 0 without; `None` if it comes and goes.
fn presence(present: &[f64]) -> Option<Presence> {
    let share = present.iter().sum::<f64>() / present.len().max(1) as f64;
    if share >= PRESENT_FROM_SHARE {
        Some(Presence::Present)
    } else if share < MISSING_BELOW_SHARE {
        Some(Presence::Missing)
    } else {
        None
    }
}
