//! What single objects of a run cost, and which cost far more than others.

use record::{ObjectCalls, PerObject};
use stats::nearest_rank;

/// Most objects that are named.
const NAMED_MAX: usize = 10;
/// An object costs far more than others if it is this many times the distance between the quartiles
/// above the upper one (Tukey's outer fence), and more calls above it than this.
const FENCE: f64 = 3.0;
const FENCE_CALLS: f64 = 3.0;

/// The distribution; nothing without objects.
pub(super) fn per_object(mut objects: Vec<ObjectCalls>) -> Option<PerObject> {
    let calls: Vec<f64> = objects.iter().map(|object| object.calls as f64).collect();
    let rank = |percent| nearest_rank(&calls, percent);
    let (lower, upper) = (rank(25.0)?, rank(75.0)?);
    let fence = upper + (FENCE * (upper - lower)).max(FENCE_CALLS);
    let whole = |percent| rank(percent).map(|calls| calls as u64);
    let (least, p50, p95, most) = (whole(0.0)?, whole(50.0)?, whole(95.0)?, whole(100.0)?);
    objects.retain(|object| object.calls as f64 > fence);
    objects.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.name.cmp(&b.name)));
    objects.truncate(NAMED_MAX);
    Some(PerObject {
        least,
        p50,
        p95,
        most,
        outliers: objects,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(calls: &[u64]) -> PerObject {
        let objects = calls.iter().enumerate().map(|(number, calls)| ObjectCalls {
            name: format!("vm-{number}"),
            calls: *calls,
        });
        per_object(objects.collect()).unwrap()
    }

    #[test]
    fn objects_far_above_the_others_are_named() {
        let found = of(&[8, 8, 9, 8, 31, 8, 8, 12, 8, 14]);
        assert_eq!(
            (found.least, found.p50, found.p95, found.most),
            (8, 8, 31, 31)
        );
        let named: Vec<&str> = found.outliers.iter().map(|one| &*one.name).collect();
        assert_eq!(named, ["vm-4"]);
        assert_eq!(of(&[8, 8, 8, 8, 11]).outliers, []);
        assert_eq!(of(&[8, 8, 8, 8, 12]).outliers.len(), 1);
        assert_eq!(per_object(Vec::new()), None);
    }
}
