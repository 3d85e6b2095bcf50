//! Limits of a comparison: `--fail-on`.

use std::str::FromStr;

use super::{
    changes::{Sensitivity, level_starts_at},
    compare::{Group, compares_per_object, values},
    series::is_named,
};
use crate::{
    record::{
        Comparison, HistoryRun, Learned, LimitVerdict, MetricComparison, Origin,
        ScenarioComparison, label,
    },
    stats::{Tolerance, runs_needed, tolerance},
};

/// A limit on what is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit {
    /// Of one metric.
    Metric(MetricLimit),
    /// Bounds learned from the runs that are compared with.
    Learned,
}

/// When a comparison fails: `METRIC>5%`, `METRIC<-5%`, or `METRIC>200`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricLimit {
    text: String,
    metric: String,
    greater: bool,
    or_equal: bool,
    number: f64,
    in_percent: bool,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "learned" {
            return Ok(Self::Learned);
        }
        let wrong = || {
            format!(
                "{text:?} is no limit: write METRIC>N% for a rise from A to B, METRIC<-N% for a \
                 fall, METRIC>N for B's own value, or learned; such as 'PATCH-pods>5%'"
            )
        };
        let at = text.find(['<', '>']).ok_or_else(wrong)?;
        let (metric, rest) = text.split_at(at);
        let greater = rest.starts_with('>');
        let rest = &rest[1..];
        let (or_equal, rest) = match rest.strip_prefix('=') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (in_percent, number) = match rest.trim().strip_suffix('%') {
            Some(number) => (true, number),
            None => (false, rest),
        };
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let metric = metric.trim();
        if metric.is_empty() || !number.is_finite() {
            return Err(wrong());
        }
        Ok(Self::Metric(MetricLimit {
            text: text.to_owned(),
            metric: metric.to_owned(),
            greater,
            or_equal,
            number,
            in_percent,
        }))
    }
}

impl Limit {
    /// The metric that it names.
    pub fn metric(&self) -> Option<&str> {
        match self {
            Self::Metric(limit) => Some(&limit.metric),
            Self::Learned => None,
        }
    }
}

impl MetricLimit {
    fn judge(&self, scenario: &ScenarioComparison) -> LimitVerdict {
        let metric = scenario
            .metrics
            .iter()
            .find(|metric| is_named(&metric.metric, &self.metric));
        let found = metric.and_then(|metric| self.found(metric));
        let sign = if self.greater { "at most" } else { "at least" };
        let sign = match (self.or_equal, self.greater) {
            (false, _) => sign,
            (true, true) => "less than",
            (true, false) => "more than",
        };
        let unit = if self.in_percent { " %" } else { "" };
        LimitVerdict {
            limit: self.text.clone(),
            scenario: scenario.scenario.clone(),
            metric: metric.map_or_else(|| self.metric.clone(), |metric| metric.metric.clone()),
            found,
            allowed: format!("{sign} {}{unit}", self.number),
            kept: found.map(|found| !self.fails(found)),
        }
    }

    /// A rise from 0 is more than any percentage.
    fn found(&self, metric: &MetricComparison) -> Option<f64> {
        if !self.in_percent {
            return metric.b.median;
        }
        let difference = metric.difference?;
        Some(metric.percent.unwrap_or(match difference {
            0.0 => 0.0,
            difference => difference.signum() * f64::INFINITY,
        }))
    }

    fn fails(&self, found: f64) -> bool {
        (self.or_equal && found == self.number)
            || if self.greater {
                found > self.number
            } else {
                found < self.number
            }
    }
}

/// Judges a comparison by limits; `rate` is the false-alarm rate of a bound that is learned.
pub fn judge(comparison: &mut Comparison, a: &Group, b: &Group, limits: &[Limit], rate: f64) {
    for limit in limits {
        match limit {
            Limit::Metric(limit) => {
                let verdicts = comparison.scenarios.iter().map(|one| limit.judge(one));
                comparison.limits.extend(verdicts.collect::<Vec<_>>());
            }
            Limit::Learned => learn(comparison, a, b, rate),
        }
    }
}

fn learn(comparison: &mut Comparison, a: &Group, b: &Group, rate: f64) {
    let mut learned = Learned {
        rate,
        runs_needed: runs_needed(rate),
        ..Learned::default()
    };
    for scenario in &comparison.scenarios {
        let of = |group: &Group| -> Vec<HistoryRun> {
            let own = group
                .runs
                .iter()
                .filter(|run| run.valid && run.label(label::SCENARIO) == scenario.scenario);
            own.map(HistoryRun::clone).collect()
        };
        let (mut before, after) = (of(a), of(b));
        before.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        let before: Vec<&HistoryRun> = before.iter().collect();
        let after: Vec<&HistoryRun> = after.iter().collect();
        let history = History {
            per_object: compares_per_object(&before, &after),
            exact: before.iter().all(|run| run.origin != Origin::Estimate),
            before,
            after,
        };
        let verdicts = scenario
            .metrics
            .iter()
            .filter_map(|metric| history.judge(&metric.metric, rate, &mut learned))
            .map(|verdict| LimitVerdict {
                scenario: scenario.scenario.clone(),
                ..verdict
            });
        comparison.limits.extend(verdicts);
    }
    learned.rate_of_any = learned.rate_of_any.min(1.0);
    comparison.learned = Some(learned);
}

/// The runs that bounds are learned from, and those that are judged by them.
struct History<'r> {
    before: Vec<&'r HistoryRun>,
    after: Vec<&'r HistoryRun>,
    per_object: bool,
    exact: bool,
}

impl History<'_> {
    /// `None` if no bound can be learned: the history is too short, or a metric of estimates has
    /// not been seen before.
    fn judge(&self, metric: &str, rate: f64, learned: &mut Learned) -> Option<LimitVerdict> {
        let mut samples = values(&self.before, metric, self.per_object);
        if self.exact && samples.is_empty() {
            // A call that was counted in no run was made in none.
            samples = vec![0.0; self.before.len()];
        }
        let samples = &samples[level_starts_at(&samples, &Sensitivity::default())..];
        if samples.is_empty() {
            return None;
        }
        let after = values(&self.after, metric, self.per_object);
        let (allowed, own_rate, exceeds): (_, _, Box<dyn Fn(f64) -> bool>) =
            match tolerance(samples, rate) {
                Tolerance::TooFew { .. } => {
                    learned.too_short += 1;
                    return None;
                }
                Tolerance::Equal { value, rate } => {
                    learned.equal += 1;
                    (format!("exactly {value}"), rate, Box::new(move |found| found != value))
                }
                Tolerance::AtMost { bound, rate } => {
                    (format!("at most {bound}"), rate, Box::new(move |found| found > bound))
                }
            };
        learned.bounds += 1;
        learned.rate_of_any += own_rate;
        let over = after.iter().filter(|found| exceeds(**found)).count();
        Some(LimitVerdict {
            limit: "learned".to_owned(),
            scenario: String::new(),
            metric: metric.to_owned(),
            found: crate::stats::median(&after),
            allowed: format!(
                "{allowed} ({} runs, false alarms at most {:.2} %)",
                samples.len(),
                100.0 * own_rate
            ),
            // More than half of the runs: for one run, that run.
            kept: (!after.is_empty()).then_some(2 * over <= after.len()),
        })
    }
}
