//! By how much do two groups differ?

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::sample::{median, median_in_place, sorted};

/// Resamples of the bootstrap: the ends of a 95 % interval are then the 50th from each side.
const RESAMPLES: usize = 2_000;
/// Below this the bootstrap knows too few values to say anything about the ends of an interval.
const BOOTSTRAP_FROM: usize = 5;
/// The same samples give the same interval.
const SEED: u64 = 0x6b75_6265_746f_6c6c;
/// The pairs of two groups that Hodges and Lehmann's estimator looks at; larger groups are thinned
/// to evenly spaced quantiles, which moves the estimate by less than a thousandth of the spread.
const SIDE_MAX: usize = 1_000;

/// An interval, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end of the interval, in the samples' unit.
    pub low: f64,
    /// Upper end of the interval, in the samples' unit.
    pub high: f64,
}

/// Hodges and Lehmann's estimate of how much greater the second group is: the median of the
/// differences of all pairs. `None` if a group is empty.
pub fn hodges_lehmann(first: &[f64], second: &[f64]) -> Option<f64> {
    let (first, second) = (thinned(first), thinned(second));
    let pairs = second
        .iter()
        .flat_map(|after| first.iter().map(move |before| after - before));
    median_in_place(&mut pairs.collect::<Vec<_>>())
}

fn thinned(samples: &[f64]) -> Vec<f64> {
    let sorted = sorted(samples);
    if sorted.len() <= SIDE_MAX {
        return sorted;
    }
    let at = |rank: usize| sorted[(2 * rank + 1) * sorted.len() / (2 * SIDE_MAX)];
    (0..SIDE_MAX).map(at).collect()
}

/// The 95 % percentile bootstrap interval of the second group's median less the first's, from
/// 2,000 resamples of each group with a fixed seed. `None` if a group has fewer than 5 samples.
pub fn median_difference_interval(first: &[f64], second: &[f64]) -> Option<Interval> {
    if first.len().min(second.len()) < BOOTSTRAP_FROM {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut resampled = |group: &[f64]| {
        let drawn = (0..group.len()).map(|_| group[random.random_range(0..group.len())]);
        median(&drawn.collect::<Vec<_>>())
    };
    let mut differences = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        differences.push(resampled(second)? - resampled(first)?);
    }
    differences.sort_by(f64::total_cmp);
    let tail = RESAMPLES / 40;
    Some(Interval {
        low: differences[tail - 1],
        high: differences[RESAMPLES - tail],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shift_is_the_median_of_all_differences() {
        let a = [1.0, 2.0, 3.0];
        assert_eq!(hodges_lehmann(&a, &[11.0, 12.0, 13.0]), Some(10.0));
        assert_eq!(hodges_lehmann(&a, &[11.0, 12.0, 1e9]), Some(10.0));
        assert_eq!(hodges_lehmann(&a, &[]), None);
        let many: Vec<f64> = (0..5_000).map(f64::from).collect();
        let more: Vec<f64> = many.iter().map(|one| one + 70.0).collect();
        let shift = hodges_lehmann(&many, &more).unwrap();
        assert!((shift - 70.0).abs() < 1.0, "{shift}");
    }

    #[test]
    fn the_interval_holds_the_shift_and_is_the_same_every_time() {
        let a: Vec<f64> = (0..40).map(|one| f64::from(one * 7 % 11)).collect();
        let b: Vec<f64> = a.iter().map(|one| one + 20.0).collect();
        let interval = median_difference_interval(&a, &b).unwrap();
        assert!(interval.low < 20.0 && interval.high > 20.0, "{interval:?}");
        assert!(interval.high - interval.low < 8.0, "{interval:?}");
        assert_eq!(median_difference_interval(&a, &b), Some(interval));
        assert_eq!(median_difference_interval(&a[..4], &b), None);
    }

    #[test]
    fn ninety_five_of_a_hundred_intervals_hold_the_difference_of_the_medians() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut draw = |add: f64| -> Vec<f64> {
            (0..25)
                .map(|_| add + (0..12).map(|_| random.random::<f64>()).sum::<f64>())
                .collect()
        };
        let held = (0..200).filter(|_| {
            let found = median_difference_interval(&draw(0.0), &draw(1.0)).unwrap();
            found.low <= 1.0 && 1.0 <= found.high
        });
        let held = held.count();
        assert!((182..=199).contains(&held), "{held} of 200");
    }
}
