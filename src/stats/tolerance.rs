//! Bounds learned from earlier samples, without a model of their distribution.
//!
//! The one assumption is exchangeability: the samples and the new one come in any order with the
//! same likelihood, which holds if nothing changed. Then the new one is equally likely to have any
//! rank among all n + 1, and exceeds the k-th largest of the n with a likelihood of at most
//! k / (n + 1); ties only lower it.

use super::sample::{constant, sorted};

/// What a new sample exceeds only rarely if nothing changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// All samples were the same: a new one must be, too.
    Equal {
        /// The value that all samples have.
        value: f64,
        /// The highest rate at which another value comes if nothing changed.
        rate: f64,
    },
    /// A new sample must not be above this.
    AtMost {
        /// The bound, one of the samples.
        bound: f64,
        /// The highest rate at which it is exceeded if nothing changed.
        rate: f64,
    },
    /// There are too few samples for the rate that was asked for.
    TooFew {
        /// How many there are.
        samples: usize,
        /// How many it takes.
        needed: usize,
    },
}

/// How many samples a false-alarm rate takes; `rate` is between 0 and 1, both excluded.
pub fn runs_needed(rate: f64) -> usize {
    (1.0 / rate - EPSILON).ceil() as usize - 1
}

/// 1 / 0.05 is to be 20.
const EPSILON: f64 = 1e-9;

/// The lowest bound that a new sample exceeds at a rate of at most `rate` if nothing changed.
pub fn tolerance(samples: &[f64], rate: f64) -> Tolerance {
    let needed = runs_needed(rate);
    if samples.len() < needed {
        return Tolerance::TooFew {
            samples: samples.len(),
            needed,
        };
    }
    let ranks = (samples.len() + 1) as f64;
    if let Some(value) = constant(samples) {
        // The odd one of n + 1 is the last with this likelihood.
        let rate = 1.0 / ranks;
        return Tolerance::Equal { value, rate };
    }
    let from_top = (rate * ranks + EPSILON).floor().max(1.0);
    Tolerance::AtMost {
        bound: sorted(samples)[samples.len() - from_top as usize],
        rate: from_top / ranks,
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_bound_is_a_sample_and_needs_enough_of_them() {
        let samples: Vec<f64> = (1..=199).map(f64::from).collect();
        let at_most = |bound, rate| Tolerance::AtMost { bound, rate };
        assert_eq!(tolerance(&samples, 0.01), at_most(198.0, 0.01));
        assert_eq!(tolerance(&samples, 0.05), at_most(190.0, 0.05));
        assert_eq!(tolerance(&samples[..99], 0.01), at_most(99.0, 0.01));
        let too_few = Tolerance::TooFew {
            samples: 98,
            needed: 99,
        };
        assert_eq!(tolerance(&samples[..98], 0.01), too_few);
        assert_eq!(runs_needed(0.05), 19);
    }

    #[test]
    fn what_never_varied_must_not_vary() {
        let equal = Tolerance::Equal {
            value: 100.0,
            rate: 0.05,
        };
        assert_eq!(tolerance(&[100.0; 19], 0.05), equal);
    }

    #[test]
    fn the_false_alarms_are_as_rare_as_stated() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let (mut alarms, rounds) = (0, 4_000);
        for _ in 0..rounds {
            // Skewed and with ties, as counts are.
            let mut draw = || (random.random::<f64>().powi(4) * 300.0).round();
            let samples: Vec<f64> = (0..60).map(|_| draw()).collect();
            let Tolerance::AtMost { bound, .. } = tolerance(&samples, 0.05) else {
                panic!("60 are enough");
            };
            alarms += usize::from(draw() > bound);
        }
        let rate = alarms as f64 / f64::from(rounds);
        assert!((0.03..=0.055).contains(&rate), "{rate}");
    }
}
