//! The changes in a history.
//!
//! A series is first cut where a metric goes missing or comes back, then each stretch in which it
//! is there is searched for steps. Candidates are E-divisive's; a step is reported if it is also
//! long, large and unlikely enough by measures that single runs don't move.

use jiff::Timestamp;

use record::{Acknowledgement, Change, ChangeKind, HistoryRun, RunValue};
use stats::{median, tame};

use super::{
    steps::{Level, RUNS_IF_CONSTANT, Sensitivity, Step, steps},
    stretches::{Presence, stretches},
};
use crate::budgets::cost_name::is_cost_name;
use crate::history::{
    costs::has_cost,
    metrics::{Metrics, metric},
    series::{SeriesKey, series},
};

/// Runs before and after a change that are told with it.
const AROUND: usize = 3;
/// The changes of these metrics, by series, metric and time.
pub fn changes(
    runs: &[HistoryRun],
    of_components: bool,
    metrics: &Metrics,
    how: &Sensitivity,
) -> Vec<Change> {
    let mut found = Vec::new();
    for (key, runs) in series(runs) {
        let priced: Vec<&HistoryRun> = runs.iter().copied().filter(|run| has_cost(run)).collect();
        for name in metrics.of(runs.iter().copied(), of_components) {
            // A run without a price says nothing of costs, not even that they went missing.
            let runs = if is_cost_name(&name) { &priced } else { &runs };
            let line = Line::of(&key, runs, &name);
            found.extend(line.changes(how));
        }
    }
    found
}

/// How many series there are, and how many of them are too short for any step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesCount {
    /// All.
    pub all: u64,
    /// Those that are too short.
    pub short: u64,
}

impl SeriesCount {
    /// Counts the series of these runs.
    pub fn of(runs: &[HistoryRun]) -> Self {
        let series = series(runs);
        let is_short = |runs: &&Vec<&HistoryRun>| (runs.len() as u64) < Sensitivity::shortest();
        Self {
            all: series.len() as u64,
            short: series.values().filter(is_short).count() as u64,
        }
    }
}

/// A metric over the runs of a series.
struct Line<'r> {
    key: &'r SeriesKey,
    runs: &'r [&'r HistoryRun],
    metric: &'r str,
    values: Vec<Option<f64>>,
}

/// A change, by the indices of the runs.
struct Found {
    kind: ChangeKind,
    at: usize,
    before: Level,
    after: Level,
    p: f64,
}

impl<'r> Line<'r> {
    fn of(key: &'r SeriesKey, runs: &'r [&'r HistoryRun], name: &'r str) -> Self {
        Self {
            key,
            runs,
            metric: name,
            values: runs.iter().map(|run| metric(run, name)).collect(),
        }
    }

    fn changes(&self, how: &Sensitivity) -> Vec<Change> {
        let mut found = Vec::new();
        // The level before, and what came before that if it is missing.
        let mut level = None;
        let mut known = Level::default();
        for stretch in stretches(&self.values, self.lasting(how), &how.detection) {
            let (at, values): (Vec<usize>, Vec<f64>) = stretch
                .runs
                .clone()
                .filter_map(|at| Some((at, self.values[at]?)))
                .unzip();
            let is_present = stretch.presence == Presence::Present;
            let steps = if is_present {
                self.steps(&values, how)
            } else {
                Vec::new()
            };
            let first = match steps.first() {
                Some(step) => step.before,
                None => Level {
                    median: median(&values).filter(|_| is_present),
                    runs: stretch.runs.len(),
                },
            };
            if level.is_some() {
                found.push(Found {
                    kind: match stretch.presence {
                        Presence::Present => ChangeKind::Back,
                        Presence::Missing => ChangeKind::Missing,
                    },
                    at: stretch.runs.start,
                    before: known,
                    after: first,
                    p: stretch.p,
                });
            }
            let last = steps.last().map_or(first, |step| step.after);
            level = Some(last);
            if is_present {
                known = last;
            }
            found.extend(steps.into_iter().map(|step| Found {
                kind: ChangeKind::Step,
                at: at[step.index],
                before: step.before,
                after: step.after,
                p: step.p,
            }));
        }
        found.into_iter().map(|one| self.change(one)).collect()
    }

    /// Exact counts have no outliers that a few runs of a new level must not be taken for.
    fn steps(&self, values: &[f64], how: &Sensitivity) -> Vec<Step> {
        if self.key.origin.is_exact() {
            steps(values, values, how)
        } else {
            steps(values, &tame(values), how)
        }
    }

    /// Runs that a metric must be there or missing for: an exact count is missing for certain.
    fn lasting(&self, how: &Sensitivity) -> usize {
        if self.key.origin.is_exact() {
            RUNS_IF_CONSTANT
        } else {
            how.min_runs
        }
    }

    fn change(&self, found: Found) -> Change {
        let (before, after) = (found.before.median, found.after.median);
        let at = self.runs[found.at].at;
        let around = found.at.saturating_sub(AROUND)..(found.at + AROUND).min(self.runs.len());
        let value = |at: usize| RunValue {
            run: self.runs[at].id.clone(),
            at: self.runs[at].at,
            value: self.values[at],
        };
        Change {
            id: change_id(&self.key.job, &self.key.scenario, self.metric, at),
            job: self.key.job.clone(),
            scenario: self.key.scenario.clone(),
            origin: self.key.origin,
            metric: self.metric.to_owned(),
            at,
            kind: found.kind,
            before,
            after,
            percent: percent(before, after),
            confidence: 1.0 - found.p,
            runs_before: found.before.runs,
            runs_after: found.after.runs,
            around: around.map(value).collect(),
        }
    }
}

/// `JOB/SCENARIO/METRIC@TIME`: what names a change, and its acknowledgement.
pub(crate) fn change_id(job: &str, scenario: &str, metric: &str, at: Timestamp) -> String {
    format!("{job}/{scenario}/{metric}@{at}")
}

/// Whether somebody knows of a change. Later runs can move a change by a run or two, so that it is
/// known by any of the runs that are told with it.
pub fn is_acknowledged(change: &Change, acks: &[Acknowledgement]) -> bool {
    let (first, last) = match (change.around.first(), change.around.last()) {
        (Some(first), Some(last)) => (first.at, last.at),
        _ => (change.at, change.at),
    };
    acks.iter().any(|ack| {
        (&ack.job, &ack.scenario, &ack.metric) == (&change.job, &change.scenario, &change.metric)
            && (first..=last).contains(&ack.at)
    })
}

/// By how many percent `after` is above `before`; `None` where that has no meaning.
pub(crate) fn percent(before: Option<f64>, after: Option<f64>) -> Option<f64> {
    let (before, after) = (before.filter(|before| *before != 0.0)?, after?);
    Some(100.0 * (after - before) / before.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{Origin, label};

    const DAY: i64 = 86_400;

    fn history(origin: Origin, values: &[Option<f64>]) -> Vec<HistoryRun> {
        let run = |(at, value): (usize, &Option<f64>)| HistoryRun {
            id: format!("run-{at}"),
            at: Timestamp::from_second(at as i64 * DAY).unwrap(),
            origin,
            valid: true,
            failure: None,
            labels: [(label::JOB.to_owned(), "nightly".to_owned())].into(),
            objects: Some(100),
            values: value
                .iter()
                .map(|value| ("A-count".to_owned(), *value))
                .collect(),
            components: std::collections::BTreeMap::new(),
            cost: None,
            record: None,
        };
        values.iter().enumerate().map(run).collect()
    }

    /// Kind, index of the run, before and after.
    fn found(
        origin: Origin,
        values: &[Option<f64>],
    ) -> Vec<(ChangeKind, usize, Option<f64>, Option<f64>)> {
        let mut runs = history(origin, values);
        // The order in which a history gives its runs doesn't matter.
        runs.reverse();
        let found = changes(&runs, false, &Metrics::all_and([]), &Sensitivity::default());
        let index = |change: &Change| (change.at.as_second() / DAY) as usize;
        let found = found.iter();
        found
            .map(|one| (one.kind, index(one), one.before, one.after))
            .collect()
    }

    /// Values with a spread of a few percent, and each 13th run an outlier.
    fn noisy(level: f64, runs: usize) -> Vec<Option<f64>> {
        let value = |at: usize| match at % 13 {
            7 => level * 3.0,
            _ => level * (1.0 + (at * 7 % 11) as f64 / 100.0),
        };
        (0..runs).map(|at| Some(value(at))).collect()
    }

    #[test]
    fn noise_and_outliers_are_no_changes() {
        assert_eq!(found(Origin::Estimate, &noisy(100.0, 300)), []);
        let small = [noisy(100.0, 60), noisy(103.0, 60)].concat();
        assert_eq!(found(Origin::Estimate, &small), []);
        let short = [noisy(100.0, 60), noisy(200.0, 5), noisy(100.0, 60)].concat();
        assert_eq!(found(Origin::Estimate, &short), []);
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        let series = [noisy(100.0, 60), noisy(160.0, 40), noisy(100.0, 60)].concat();
        let steps = found(Origin::Estimate, &series);
        let kinds: Vec<_> = steps.iter().map(|step| (step.0, step.1)).collect();
        assert_eq!(kinds, [(ChangeKind::Step, 60), (ChangeKind::Step, 100)]);
        assert!(
            steps[0].3 > Some(160.0) && steps[0].2 < Some(110.0),
            "{steps:?}"
        );
    }

    #[test]
    fn exact_counts_change_after_three_runs_of_another_value() {
        let step = |runs: usize| {
            let series = [vec![Some(100.0); 8], vec![Some(101.0); runs]].concat();
            found(Origin::Counted, &series)
        };
        assert_eq!(step(2), []);
        // 1 % is below what noise could be; but there is none.
        assert_eq!(step(3), [(ChangeKind::Step, 8, Some(100.0), Some(101.0))]);
    }

    #[test]
    fn a_counter_that_goes_blind_is_missing_and_not_an_improvement() {
        let mut series = [noisy(100.0, 40), vec![None; 50], noisy(120.0, 40)].concat();
        series[20] = None;
        series[60] = Some(100.0);
        let changes = found(Origin::Estimate, &series);
        let kinds: Vec<_> = changes.iter().map(|one| (one.0, one.1)).collect();
        assert_eq!(kinds, [(ChangeKind::Missing, 40), (ChangeKind::Back, 90)]);
        assert_eq!(changes[0].3, None);
        assert_eq!(changes[1].2, changes[0].2);
        assert!(changes[1].3 > Some(120.0));
    }

    #[test]
    fn a_metric_that_comes_and_goes_is_no_news() {
        let series: Vec<_> = (0..300)
            .map(|at| (at * at % 7 < 3).then_some(1.1))
            .collect();
        assert_eq!(found(Origin::Estimate, &series), []);
    }

    #[test]
    fn a_new_metric_has_no_level_before() {
        let series = [vec![None; 30], noisy(5.0, 30)].concat();
        let changes = found(Origin::Estimate, &series);
        assert_eq!(changes.len(), 1);
        assert_eq!(
            (changes[0].0, changes[0].1, changes[0].2),
            (ChangeKind::Back, 30, None)
        );
    }

    #[test]
    fn runs_of_other_jobs_origins_and_sizes_are_other_series() {
        let mut runs = history(Origin::Counted, &[Some(100.0); 10]);
        for (at, run) in history(Origin::Counted, &[Some(200.0); 10])
            .into_iter()
            .enumerate()
        {
            runs.push(HistoryRun {
                at: run.at + jiff::SignedDuration::from_hours(24 * 10),
                objects: Some(200),
                id: format!("more-{at}"),
                ..run
            });
        }
        assert_eq!(
            changes(&runs, false, &Metrics::all_and([]), &Sensitivity::default()),
            []
        );
        for run in &mut runs {
            run.objects = Some(100);
        }
        assert_eq!(
            changes(&runs, false, &Metrics::all_and([]), &Sensitivity::default()).len(),
            1
        );
    }

    #[test]
    fn the_known_changes_of_kubevirts_ci_are_found_and_no_other() {
        #[derive(serde::Deserialize)]
        struct Published {
            metrics: Vec<String>,
            runs: Vec<(Timestamp, Vec<Option<f64>>)>,
        }
        let text = include_str!("../../../tests/vectors/stats/kubevirt-ci.json");
        let published: Published = serde_json::from_str(text).unwrap();
        let template = history(Origin::Estimate, &[None]).remove(0);
        let runs: Vec<HistoryRun> = published
            .runs
            .iter()
            .map(|run| {
                let values = published.metrics.iter().zip(&run.1);
                HistoryRun {
                    id: run.0.to_string(),
                    at: run.0,
                    values: values
                        .filter_map(|(name, value)| Some((name.clone(), (*value)?)))
                        .collect(),
                    ..template.clone()
                }
            })
            .collect();
        let found = changes(&runs, false, &Metrics::all_and([]), &Sensitivity::default());
        let told = |change: &Change| {
            let percent = change.percent.map_or(0.0, f64::round);
            let day = change.at.strftime("%m-%d").to_string();
            (
                change.metric.clone(),
                change.kind.as_str(),
                day,
                percent as i64,
            )
        };
        let found: Vec<_> = found.iter().map(told).collect();
        let expected = [
            ("CREATE-pods-count", "missing", "04-09", 0),
            ("CREATE-pods-count", "back", "06-29", -1),
            ("GET-nodes-count", "missing", "05-21", 0),
            ("GET-nodes-count", "back", "06-29", 1),
            ("GET-nodes-count", "step", "10-03", 35),
            ("GET-nodes-count", "step", "10-23", -22),
            ("PATCH-pods-count", "missing", "04-09", 0),
            ("PATCH-pods-count", "back", "06-29", -1),
            ("PATCH-pods-count", "step", "10-22", 58),
            ("UPDATE-leases-count", "step", "10-02", 64),
            ("UPDATE-leases-count", "step", "10-23", -35),
        ];
        let expected = expected
            .map(|(metric, kind, day, percent)| (metric.to_owned(), kind, day.to_owned(), percent));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_cost_steps_and_is_neither_new_nor_missing_where_it_is_not_known() {
        let mut runs = history(Origin::Counted, &[None; 24]);
        for (at, run) in runs.iter_mut().enumerate().filter(|(at, _)| *at >= 8) {
            run.cost = Some(record::RunCost {
                list: crate::standard_name().to_owned(),
                tolls: if at < 16 { 500.0 } else { 600.5 },
                ..record::RunCost::default()
            });
        }
        let found = changes(&runs, false, &Metrics::all_and([]), &Sensitivity::default());
        let told: Vec<_> = found.iter().map(|one| (&*one.metric, one.kind)).collect();
        assert_eq!(told, [("cost", ChangeKind::Step)]);
        let text = crate::changes_text::changes(&found, false, 0, None);
        let line = "nightly//cost@1970-01-17T00:00:00Z  step  500 tolls  600.5 tolls  +20.1 %";
        assert!(text.lines().any(|one| one.starts_with(line)), "{text}");
    }

    #[test]
    fn an_acknowledged_change_may_move_by_a_run() {
        let series = [noisy(100.0, 60), noisy(160.0, 40)].concat();
        let runs = history(Origin::Estimate, &series);
        let change =
            changes(&runs, false, &Metrics::all_and([]), &Sensitivity::default()).remove(0);
        let ack = |runs: i64, metric: &str| Acknowledgement {
            job: "nightly".to_owned(),
            scenario: String::new(),
            metric: metric.to_owned(),
            at: Timestamp::from_second((60 + runs) * DAY).unwrap(),
        };
        assert!(is_acknowledged(&change, &[ack(0, "A-count")]));
        assert!(is_acknowledged(&change, &[ack(-2, "A-count")]));
        assert!(!is_acknowledged(&change, &[ack(-9, "A-count")]));
        assert!(!is_acknowledged(&change, &[ack(0, "B-count")]));
        assert!(!is_acknowledged(&change, &[]));
    }
}
