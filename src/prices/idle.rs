//! What an API server takes of its CPU when nobody calls, and what reading that takes.

use super::{
    collector::fair_us,
    measured::{Measured, Measurements, What},
};
use stats::{mean_interval, without_outliers};

/// What belongs to no call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Idle {
    /// Microseconds of a second in which nobody calls.
    pub(super) us_per_second: f64,
    /// The same while nothing happens that is seldom.
    pub(super) quiet_us_per_second: f64,
    /// Microseconds of etcd's, while nothing happens that is seldom.
    pub(super) etcd_us_per_second: f64,
    /// Microseconds that a batch has more because the CPU is read before and after it.
    pub(super) reading_us: f64,
}

impl Idle {
    /// Microseconds of a batch that belong to none of its calls.
    pub(super) fn us_of(&self, one: &Measured) -> f64 {
        self.quiet_us_per_second * one.usage.seconds + self.reading_us
    }

    pub(super) fn of(all: &Measurements) -> Self {
        let of = |what: What| -> Vec<&Measured> {
            let batches = all.batches.iter();
            batches.filter(|one| one.what == what).collect()
        };
        let (idle, reading) = (of(What::Idle), of(What::Reading));
        let of_reading = |value: &dyn Fn(&Measured) -> f64| {
            let values: Vec<f64> = reading.iter().map(|one| value(one)).collect();
            mean(&without_outliers(&values))
        };
        let reading_us = of_reading(&|one| fair_us(one, all));
        let reading_seconds = of_reading(&|one| one.usage.seconds);
        let rates = |us: &dyn Fn(&Measured) -> f64| -> Vec<f64> {
            let rates = idle
                .iter()
                .map(|one| us(one) / (one.usage.seconds - reading_seconds));
            rates.collect()
        };
        let rates_us = rates(&|one| fair_us(one, all) - reading_us);
        let rates_etcd = rates(&|one| one.usage.etcd_cpu_us.unwrap_or_default());
        let quiet_us_per_second = mean(&without_outliers(&rates_us));
        Self {
            us_per_second: mean(&rates_us),
            quiet_us_per_second,
            etcd_us_per_second: mean(&without_outliers(&rates_etcd)),
            reading_us: reading_us - reading_seconds * quiet_us_per_second,
        }
    }
}

/// 0 of nothing.
fn mean(values: &[f64]) -> f64 {
    mean_interval(values).map_or(0.0, |(mean, _)| mean)
}
