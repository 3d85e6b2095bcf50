//! A mean, and how far from it the true one may be.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::shift::Interval;

/// The mean of samples and its 95 % interval by Student's t distribution. The interval of a single
/// sample has no bounds. `None` without samples.
pub fn mean_interval(samples: &[f64]) -> Option<(f64, Interval)> {
    let count = samples.len() as f64;
    if samples.is_empty() {
        return None;
    }
    let mean = samples.iter().sum::<f64>() / count;
    let squares: f64 = samples.iter().map(|one| (one - mean).powi(2)).sum();
    let reach = match StudentsT::new(0.0, 1.0, count - 1.0) {
        Ok(distribution) => {
            let error = (squares / (count - 1.0) / count).sqrt();
            distribution.inverse_cdf(0.975) * error
        }
        // No degree of freedom is left.
        Err(_) => f64::INFINITY,
    };
    let interval = Interval {
        low: mean - reach,
        high: mean + reach,
    };
    Some((mean, interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        assert_eq!(mean_interval(&[]), None);
        let (mean, interval) = mean_interval(&[3.0]).unwrap();
        assert_eq!((mean, interval.low), (3.0, f64::NEG_INFINITY));
        // scipy.stats.t.interval(0.95, 4, loc=3, scale=scipy.stats.sem([1, 2, 3, 4, 5])).
        let (mean, interval) = mean_interval(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!(mean, 3.0);
        assert!(
            (interval.low - 1.036_756_838_522_439).abs() < 1e-9,
            "{interval:?}"
        );
        assert!(
            (interval.high - 4.963_243_161_477_561).abs() < 1e-9,
            "{interval:?}"
        );
    }
}
