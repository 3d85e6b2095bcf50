//! Limits of a comparison: `--fail-on`.

use std::str::FromStr;

use crate::{
    budgets::cost_name::{is_cost_name, unit_after},
    changes::steps::{Sensitivity, level_starts_at},
    comparison::compare::{Group, values, values_or_zero},
    history::{
        costs::why_unknown,
        metrics::{is_count, is_named, what_was_meant},
    },
    number::detailed,
};
use record::{
    Comparison, HistoryRun, Kept, Learned, LimitVerdict, MetricComparison, ScenarioComparison,
    label,
};
use stats::{Tolerance, median, runs_needed, tolerance};
use terminal::exit::Exit;

/// A limit on what is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit {
    /// On one metric, given by the user.
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
    fn judge(
        &self,
        scenario: &ScenarioComparison,
        (a, b): (&[&HistoryRun], &[&HistoryRun]),
    ) -> LimitVerdict {
        let metric = scenario
            .metrics
            .iter()
            .find(|metric| is_named(&metric.metric, &self.metric));
        let found = metric.and_then(|metric| self.found(metric, b));
        let sign = if self.greater { "at most" } else { "at least" };
        let sign = match (self.or_equal, self.greater) {
            (false, _) => sign,
            (true, true) => "less than",
            (true, false) => "more than",
        };
        let unit = match (self.in_percent, scenario.per_object) {
            (true, true) => " % for each object",
            (true, false) => " %",
            (false, _) => unit_after(&self.metric),
        };
        LimitVerdict {
            limit: self.text.clone(),
            scenario: scenario.scenario.clone(),
            metric: metric.map_or_else(|| self.metric.clone(), |metric| metric.metric.clone()),
            found,
            allowed: format!("{sign} {}{unit}", self.number),
            kept: found.map(|found| !self.fails(found)).into(),
            meant: self.meant(metric.is_some(), found, &[a, b].concat()),
        }
    }

    /// What may have been meant by a name that no run has a metric of, or why a cost is not known.
    fn meant(&self, is_known: bool, found: Option<f64>, runs: &[&HistoryRun]) -> String {
        let runs = runs.iter().copied();
        if !is_known {
            return what_was_meant(runs, &self.metric);
        }
        if found.is_none() && is_cost_name(&self.metric) {
            return why_unknown(runs);
        }
        String::new()
    }

    /// A rise from 0 is more than any percentage. A number that is no percentage is of B's runs as
    /// they are, also where A's have another number of objects.
    fn found(&self, metric: &MetricComparison, b: &[&HistoryRun]) -> Option<f64> {
        if !self.in_percent {
            return median(&values(b, &metric.metric, false));
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

/// What a comparison is judged by.
#[derive(Debug, Clone, Copy)]
pub struct HowToJudge<'l> {
    /// The limits.
    pub limits: &'l [Limit],
    /// The false-alarm rate of a bound that is learned.
    pub rate: f64,
    /// Whether it is no failure that nothing could be learned yet.
    pub bootstrap: bool,
}

/// Judges a comparison by limits, and sets its exit code.
pub fn judge(comparison: &mut Comparison, a: &Group, b: &Group, how: &HowToJudge<'_>) {
    for limit in how.limits {
        match limit {
            Limit::Metric(limit) => {
                let scenarios = comparison.scenarios.iter();
                let verdicts = scenarios.map(|one| limit.judge(one, (&of(a, one), &of(b, one))));
                comparison.limits.extend(verdicts.collect::<Vec<_>>());
            }
            Limit::Learned => learn(comparison, a, b, how.rate),
        }
    }
    comparison.exit_code = comparison_exit(comparison, how.bootstrap).code();
}

/// How a command that compared runs ends: what can't be known is worse than what is exceeded. With
/// `bootstrap` it is no failure that nothing could be learned.
pub fn comparison_exit(found: &Comparison, bootstrap: bool) -> Exit {
    let learned_nothing = !bootstrap && found.learned.is_some_and(|learned| learned.bounds == 0);
    let any = |kept: Kept| found.limits.iter().any(|limit| limit.kept == kept);
    if learned_nothing || any(Kept::Unknown) {
        Exit::NotValid
    } else if any(Kept::No) {
        Exit::NotMet
    } else {
        Exit::Ok
    }
}

/// Bounds for each metric of the comparison, from the runs of A.
fn learn(comparison: &mut Comparison, a: &Group, b: &Group, rate: f64) {
    let mut learned = Learned {
        rate,
        runs_needed: runs_needed(rate),
        ..Learned::default()
    };
    for scenario in &comparison.scenarios {
        let (before, after) = (of(a, scenario), of(b, scenario));
        let history = History {
            scenario: &scenario.scenario,
            per_object: scenario.per_object,
            exact: before.iter().all(|run| run.origin.is_exact()),
            before,
            after,
        };
        let metrics = scenario.metrics.iter();
        let verdicts = metrics.filter_map(|one| history.judge(&one.metric, rate, &mut learned));
        comparison.limits.extend(verdicts);
    }
    learned.rate_of_any = learned.rate_of_any.min(1.0);
    comparison.learned = Some(learned);
}

/// A group's runs of a scenario, oldest first.
fn of<'r>(group: &'r Group, scenario: &ScenarioComparison) -> Vec<&'r HistoryRun> {
    let own = |run: &&HistoryRun| run.label(label::SCENARIO) == scenario.scenario;
    let mut runs: Vec<&HistoryRun> = group.runs.iter().filter(own).collect();
    runs.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    runs
}

/// The runs that bounds are learned from, and those that are judged by them.
struct History<'r> {
    scenario: &'r str,
    before: Vec<&'r HistoryRun>,
    after: Vec<&'r HistoryRun>,
    per_object: bool,
    exact: bool,
}

/// A bound, and how it is told.
struct Bound {
    text: String,
    rate: f64,
    least: f64,
    most: f64,
}

impl History<'_> {
    /// `None` if no bound can be learned: too few runs, or a metric that comes and goes.
    fn judge(&self, metric: &str, rate: f64, learned: &mut Learned) -> Option<LimitVerdict> {
        let samples = self.samples(&self.before, metric);
        let since = level_starts_at(&samples, &Sensitivity::default());
        let samples = &samples[since..];
        let after = self.samples(&self.after, metric);
        if !self.exact && after.is_empty() && samples.len() + since < self.before.len() {
            return None;
        }
        let Some(bound) = Bound::of(samples, rate, learned) else {
            learned.too_short += 1;
            return None;
        };
        learned.bounds += 1;
        learned.rate_of_any += bound.rate;
        let kept = after
            .iter()
            .filter(|found| (bound.least..=bound.most).contains(*found));
        Some(LimitVerdict {
            limit: "learned".to_owned(),
            scenario: self.scenario.to_owned(),
            metric: metric.to_owned(),
            found: median(&after),
            allowed: format!(
                "{} ({} runs, {:.2} % false alarms)",
                bound.text,
                samples.len(),
                100.0 * bound.rate
            ),
            // At least half of the runs: for one run, that run.
            kept: (!after.is_empty())
                .then_some(2 * kept.count() >= after.len())
                .into(),
            meant: String::new(),
        })
    }

    /// A call that exact counts don't have was made 0 times.
    fn samples(&self, runs: &[&HistoryRun], metric: &str) -> Vec<f64> {
        if self.exact && is_count(metric) {
            return values_or_zero(runs, metric, self.per_object);
        }
        values(runs, metric, self.per_object)
    }
}

impl Bound {
    fn of(samples: &[f64], rate: f64, learned: &mut Learned) -> Option<Self> {
        match tolerance(samples, rate) {
            Tolerance::TooFew { .. } => None,
            Tolerance::Equal { value, rate } => {
                learned.equal += 1;
                Some(Self {
                    text: format!("exactly {}", detailed(value)),
                    rate,
                    least: value,
                    most: value,
                })
            }
            Tolerance::AtMost { bound, rate } => Some(Self {
                text: format!("at most {}", detailed(bound)),
                rate,
                least: f64::NEG_INFINITY,
                most: bound,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HowToCompare, Metrics, compare};
    use record::{Origin, Verdict};

    const HOW: HowToCompare = HowToCompare {
        alpha: 0.01,
        of_components: true,
        mix_origins: false,
    };

    fn group(name: &str, origin: Origin, metrics: &[(&str, &[f64])]) -> Group {
        let runs = metrics.first().map_or(0, |metric| metric.1.len());
        let run = |at: usize| HistoryRun {
            id: format!("{name}-{at}"),
            at: jiff::Timestamp::from_second(at as i64).unwrap(),
            origin,
            valid: true,
            failure: None,
            labels: [(label::SCENARIO.to_owned(), "vmi".to_owned())].into(),
            objects: Some(100),
            values: metrics
                .iter()
                .map(|(name, values)| ((*name).to_owned(), values[at]))
                .filter(|(_, value)| value.is_finite())
                .collect(),
            components: std::collections::BTreeMap::new(),
            cost: None,
            record: None,
        };
        Group {
            name: name.to_owned(),
            runs: (0..runs).map(run).collect(),
        }
    }

    fn judged(a: &Group, b: &Group, limit: &str) -> Comparison {
        let limit: Limit = limit.parse().unwrap();
        let names = limit.metric().map(str::to_owned);
        let mut found = compare(a, b, &Metrics::all_and(names), &HOW).unwrap();
        let how = HowToJudge {
            limits: &[limit],
            rate: 0.05,
            bootstrap: false,
        };
        judge(&mut found, a, b, &how);
        found
    }

    fn one(a: &[f64], b: &[f64], limit: &str) -> (Verdict, Option<Kept>) {
        let a = group("a", Origin::Counted, &[("PATCH-pods-count", a)]);
        let b = group("b", Origin::Counted, &[("PATCH-pods-count", b)]);
        let found = judged(&a, &b, limit);
        let verdict = found.scenarios[0].metrics[0].verdict;
        (verdict, found.limits.first().map(|limit| limit.kept))
    }

    #[test]
    fn a_limit_is_on_the_rise_the_fall_or_the_value() {
        let (a, b) = ([200.0; 3], [210.0; 3]);
        for (limit, kept) in [
            ("PATCH-pods-count>5%", Some(Kept::Yes)),
            ("PATCH-pods-count>=5%", Some(Kept::No)),
            ("PATCH-pods-count>4.9%", Some(Kept::No)),
            ("PATCH-pods-count > 4.9 %", Some(Kept::No)),
            ("PATCH-pods-count<-5%", Some(Kept::Yes)),
            ("PATCH-pods-count>209", Some(Kept::No)),
            ("PATCH-pods-count<210", Some(Kept::Yes)),
            ("PATCH-pods>5%", Some(Kept::Unknown)),
            ("GET-pods>5%", Some(Kept::Unknown)),
        ] {
            assert_eq!(one(&a, &b, limit), (Verdict::Changed, kept), "{limit}");
        }
        assert_eq!(one(&b, &a, "PATCH-pods-count<-4%").1, Some(Kept::No));
        assert_eq!(
            one(&[0.0; 3], &[1.0; 3], "PATCH-pods-count>500%").1,
            Some(Kept::No)
        );
        for bad in [
            "",
            "PATCH-pods",
            ">5%",
            "PATCH-pods>",
            "PATCH-pods>x%",
            "A>nan",
        ] {
            assert!(bad.parse::<Limit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn with_other_numbers_of_objects_percents_are_for_each_and_numbers_are_of_b_itself() {
        let metrics: &[(&str, &[f64])] = &[("PATCH-pods-count", &[200.0; 3])];
        let (mut a, b) = (
            group("a", Origin::Counted, metrics),
            group("b", Origin::Counted, metrics),
        );
        a.runs.iter_mut().for_each(|run| run.objects = Some(50));
        for (limit, found, allowed, kept) in [
            ("PATCH-pods-count>199", 200.0, "at most 199", Kept::No),
            (
                "PATCH-pods-count<-40%",
                -50.0,
                "at least -40 % for each object",
                Kept::No,
            ),
            (
                "PATCH-pods-count>5%",
                -50.0,
                "at most 5 % for each object",
                Kept::Yes,
            ),
        ] {
            let judged = &judged(&a, &b, limit).limits[0];
            assert_eq!((judged.found, judged.kept), (Some(found), kept), "{limit}");
            assert_eq!(judged.allowed, allowed);
        }
    }

    #[test]
    fn verdicts_tell_certain_from_likely_from_unknown() {
        let noisy: Vec<f64> = (0..12).map(|at| f64::from(100 + at * 5 % 7)).collect();
        let more: Vec<f64> = noisy.iter().map(|one| one + 10.0).collect();
        let verdict = |a: &[f64], b: &[f64]| one(a, b, "PATCH-pods-count>1000%").0;
        assert_eq!(verdict(&[5.0; 3], &[5.0; 4]), Verdict::Equal);
        assert_eq!(verdict(&[5.0; 3], &[6.0; 3]), Verdict::Changed);
        assert_eq!(verdict(&[5.0], &[6.0]), Verdict::Unknown);
        assert_eq!(verdict(&noisy[..3], &more[..4]), Verdict::Unknown);
        assert_eq!(verdict(&noisy, &more), Verdict::Differs);
        assert_eq!(verdict(&noisy, &noisy), Verdict::Noise);
        assert_eq!(verdict(&[f64::NAN], &[6.0]), Verdict::New);
        assert_eq!(verdict(&[6.0], &[f64::NAN]), Verdict::Missing);
    }

    #[test]
    fn learned_bounds_are_equality_or_a_rank_or_none() {
        let varying: Vec<f64> = (0..40).map(|at| f64::from(100 + at * 7 % 13)).collect();
        let learned = |a: &[f64], b: f64| one(a, &[b], "learned").1;
        assert_eq!(learned(&[100.0; 19], 100.0), Some(Kept::Yes));
        assert_eq!(learned(&[100.0; 19], 101.0), Some(Kept::No));
        assert_eq!(learned(&[100.0; 19], 99.0), Some(Kept::No));
        assert_eq!(learned(&[100.0; 18], 500.0), None);
        assert_eq!(learned(&varying, 112.0), Some(Kept::Yes));
        assert_eq!(learned(&varying, 113.0), Some(Kept::No));
        assert_eq!(learned(&varying, 1.0), Some(Kept::Yes));
    }

    #[test]
    fn bounds_are_learned_since_the_last_step() {
        let before: Vec<f64> = (0..30).map(|at| f64::from(300 + at * 7 % 13)).collect();
        let since: Vec<f64> = (0..30).map(|at| f64::from(100 + at * 7 % 13)).collect();
        let history = [before, since].concat();
        assert_eq!(one(&history, &[150.0], "learned").1, Some(Kept::No));
    }

    #[test]
    fn a_metric_that_vanishes_is_0_of_exact_counts_and_unknown_of_estimates() {
        let values = [100.0; 30];
        let metrics: &[(&str, &[f64])] = &[("A-count", &values), ("B-count", &values)];
        let after: &[(&str, &[f64])] = &[("A-count", &[100.0])];
        let of = |origin| {
            let (a, b) = (group("a", origin, metrics), group("b", origin, after));
            judged(&a, &b, "learned").limits[1].clone()
        };
        assert_eq!(
            (of(Origin::Counted).kept, of(Origin::Counted).found),
            (Kept::No, Some(0.0))
        );
        assert_eq!(
            (of(Origin::Estimate).kept, of(Origin::Estimate).found),
            (Kept::Unknown, None)
        );
    }

    #[test]
    fn estimates_and_counts_are_not_mixed_silently() {
        let a = group("a", Origin::Counted, &[("A-count", &[100.0])]);
        let b = group("b", Origin::Estimate, &[("A-count", &[111.1])]);
        let refused = compare(&a, &b, &Metrics::all_and([]), &HOW).unwrap_err();
        assert!(refused.to_string().contains("estimate"), "{refused}");
        let how = HowToCompare {
            mix_origins: true,
            ..HOW
        };
        assert!(
            compare(&a, &b, &Metrics::all_and([]), &how)
                .unwrap()
                .mixed_origins
        );
    }
}
