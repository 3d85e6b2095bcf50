//! What describes a sample: its median, its spread, its quantiles.

/// How many times the median absolute deviation of a normal distribution its standard deviation is.
const NORMAL: f64 = 1.4826;

/// The quantile `percent` of `samples` by nearest rank: the smallest sample that at least that
/// share of all samples doesn't exceed. `None` without samples. Samples must be numbers.
pub fn nearest_rank(samples: &[f64], percent: f64) -> Option<f64> {
    let sorted = sorted(samples);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The median; of an even number of samples, the mean of the middle two. `None` without samples.
pub fn median(samples: &[f64]) -> Option<f64> {
    median_in_place(&mut samples.to_vec())
}

/// The same, in a buffer whose order is lost.
pub(super) fn median_in_place(samples: &mut [f64]) -> Option<f64> {
    let middle = samples.len() / 2;
    if samples.is_empty() {
        return None;
    }
    let even = samples.len().is_multiple_of(2);
    let (below, upper, _) = samples.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if !even {
        return Some(upper);
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(lower.midpoint(upper))
}

/// A standard deviation that a few outliers don't move: 1.4826 times the median distance from
/// `center`. 0 where more than half of the samples are equal to it, and without samples.
pub fn robust_deviation(samples: &[f64], center: f64) -> f64 {
    let mut distances: Vec<f64> = samples.iter().map(|one| (one - center).abs()).collect();
    median_in_place(&mut distances).map_or(0.0, |median| NORMAL * median)
}

/// The samples without those that are more than four robust deviations from the median: all of fewer
/// than five, which don't say what is usual.
pub fn without_outliers(samples: &[f64]) -> Vec<f64> {
    const LEAST: usize = 5;
    const DEVIATIONS: f64 = 4.0;
    let center = median(samples).unwrap_or_default();
    let usual = DEVIATIONS * robust_deviation(samples, center);
    let is_usual = |one: &f64| samples.len() < LEAST || (one - center).abs() <= usual;
    samples.iter().copied().filter(is_usual).collect()
}

/// Whether all samples are the same number; false without samples.
pub fn constant(samples: &[f64]) -> Option<f64> {
    let first = *samples.first()?;
    samples.iter().all(|one| *one == first).then_some(first)
}

pub(super) fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank_is_always_a_sample() {
        let samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (percent, expected) in [
            (50.0, 50.0),
            (95.0, 95.0),
            (99.0, 99.0),
            (100.0, 100.0),
            (0.0, 1.0),
        ] {
            assert_eq!(nearest_rank(&samples, percent), Some(expected));
        }
        assert_eq!(nearest_rank(&[3.0, 1.0], 50.0), Some(1.0));
        assert_eq!(nearest_rank(&[], 50.0), None);
    }

    #[test]
    fn an_outlier_moves_neither_median_nor_deviation() {
        assert_eq!(median(&[5.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 1000.0]), Some(3.5));
        assert_eq!(median(&[]), None);
        let deviation = robust_deviation(&[1.0, 2.0, 3.0, 4.0, 1000.0], 3.0);
        assert_eq!(deviation, NORMAL);
        assert_eq!(robust_deviation(&[7.0, 7.0, 7.0, 1.0], 7.0), 0.0);
    }

    #[test]
    fn what_is_far_from_the_usual_is_left_out() {
        let usual = [5.0, 6.0, 7.0, 8.0, 9.0];
        let with_outliers = [5.0, -90.0, 6.0, 7.0, 8.0, 900.0, 9.0];
        assert_eq!(without_outliers(&with_outliers), usual);
        assert_eq!(without_outliers(&[1.0, 2.0, 900.0]), [1.0, 2.0, 900.0]);
        assert_eq!(without_outliers(&[]), [0.0; 0]);
    }

    #[test]
    fn constant_samples_have_one_value() {
        assert_eq!(constant(&[2.0, 2.0]), Some(2.0));
        assert_eq!(constant(&[2.0, 2.5]), None);
        assert_eq!(constant(&[]), None);
    }
}
