//! Statistics over raw samples.
//!
//! Invariant: pure; every definition is named.

pub mod week;

/// The quantile `percent` of `samples` by nearest rank: the smallest sample that at least that
/// share of all samples doesn't exceed. `None` without samples. Samples must be numbers.
pub fn nearest_rank(samples: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
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
}
