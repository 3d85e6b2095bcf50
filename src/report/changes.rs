//! The changes in a history.
//!
//! A series is first cut where a metric goes missing or comes back, then each stretch in which it
//! is there is searched for steps. Candidates are E-divisive's; a step is reported if it is also
//! long, large and unlikely enough by measures that single runs don't move.

use std::ops::Range;

use crate::{
    record::{Change, ChangeKind, HistoryRun, RunValue},
    stats::{Detection, change_points, constant, mann_whitney, median, robust_deviation, tame},
};

use super::series::{SeriesKey, metric, metric_names, series};

/// Runs before and after a change that are told with it.
const AROUND: usize = 3;
/// Runs before and after a change of exact counts that never vary otherwise.
const RUNS_IF_CONSTANT: usize = 3;
/// Share of the runs of a stretch that have a metric, from which on it is there…
const THERE: f64 = 0.75;
/// …and up to which it is missing. A metric in between comes and goes: neither is news.
const MISSING: f64 = 0.15;

/// When a difference is reported as a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sensitivity {
    /// How candidates are found.
    pub detection: Detection,
    /// Runs that a level must last.
    pub min_runs: usize,
    /// Change of the median in percent of the level before.
    pub min_percent: f64,
    /// Change of the median in robust standard deviations of the runs within the two levels.
    pub min_deviations: f64,
}

impl Default for Sensitivity {
    fn default() -> Self {
        Self {
            detection: Detection {
                window: 50,
                max_p: 1e-4,
                min_magnitude: 0.0,
            },
            min_runs: 10,
            min_percent: 5.0,
            min_deviations: 2.0,
        }
    }
}

/// The changes of all metrics that `wanted` names, by series, metric and time.
pub fn changes(
    runs: &[HistoryRun],
    of_components: bool,
    wanted: impl Fn(&str) -> bool,
    how: &Sensitivity,
) -> Vec<Change> {
    let mut found = Vec::new();
    for (key, runs) in series(runs) {
        for name in metric_names(runs.iter().copied(), of_components) {
            if wanted(&name) {
                let line = Line::of(&key, &runs, &name);
                found.extend(line.changes(how));
            }
        }
    }
    found
}

/// A metric over the runs of a series.
struct Line<'r> {
    key: &'r SeriesKey,
    runs: &'r [&'r HistoryRun],
    metric: &'r str,
    values: Vec<Option<f64>>,
}

/// Consecutive runs that have the metric, or don't, but for single ones.
struct Stretch {
    runs: Range<usize>,
    there: bool,
    /// p of the change at its beginning.
    p: f64,
}

/// A change, by the indices of the runs.
struct Found {
    kind: ChangeKind,
    at: usize,
    before: Level,
    after: Level,
    p: f64,
}

/// The runs between two changes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Level {
    /// `None` if the metric is missing.
    median: Option<f64>,
    runs: usize,
}

/// A step between two levels.
struct Step {
    index: usize,
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
            let steps = if stretch.there {
                steps(&values, how)
            } else {
                Vec::new()
            };
            let first = match steps.first() {
                Some(step) => step.before,
                None => Level {
                    median: median(&values).filter(|_| stretch.there),
                    runs: stretch.runs.len(),
                },
            };
            if level.is_some() {
                let (kind, before) = if stretch.there {
                    (ChangeKind::Back, known)
                } else {
                    (ChangeKind::Missing, known)
                };
                found.push(Found {
                    kind,
                    at: stretch.runs.start,
                    before,
                    after: first,
                    p: stretch.p,
                });
            }
            let last = steps.last().map_or(first, |step| step.after);
            level = Some(last);
            if stretch.there {
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
        let kind = found.kind.as_str();
        let value = |at: usize| RunValue {
            run: self.runs[at].id.clone(),
            at: self.runs[at].at,
            value: self.values[at],
        };
        Change {
            id: format!(
                "{}/{}/{}/{kind}@{}",
                self.key.job,
                self.key.scenario,
                self.metric,
                at.strftime("%Y-%m-%dT%H:%M:%SZ")
            ),
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

/// By how many percent `after` is above `before`; `None` where that has no meaning.
pub(crate) fn percent(before: Option<f64>, after: Option<f64>) -> Option<f64> {
    let (before, after) = (before.filter(|before| *before != 0.0)?, after?);
    Some(100.0 * (after - before) / before.abs())
}

/// Where a metric is there and where it isn't. Stretches that are short, or in which it comes and
/// goes, belong to the one before them; at the beginning, to the one after them.
fn stretches(values: &[Option<f64>], lasting: usize, how: &Detection) -> Vec<Stretch> {
    let there = values
        .iter()
        .map(|value| f64::from(u8::from(value.is_some())));
    let there: Vec<f64> = there.collect();
    let points = change_points(&there, how);
    let starts = [(0, 1.0)]
        .into_iter()
        .chain(points.iter().map(|point| (point.index, point.p)));
    let ends = points.iter().map(|point| point.index).chain([there.len()]);
    let mut stretches: Vec<Stretch> = Vec::new();
    for ((start, p), end) in starts.zip(ends) {
        let share = there[start..end].iter().sum::<f64>() / (end - start).max(1) as f64;
        let is_there = match share {
            _ if end - start < lasting => None,
            share if share >= THERE => Some(true),
            share if share <= MISSING => Some(false),
            _ => None,
        };
        match (stretches.last_mut(), is_there) {
            (Some(before), None) => before.runs.end = end,
            (Some(before), Some(there)) if before.there == there => before.runs.end = end,
            (None, None) => {}
            (before, Some(there)) => {
                let start = if before.is_some() { start } else { 0 };
                let runs = start..end;
                stretches.push(Stretch { runs, there, p });
            }
        }
    }
    stretches
}

/// The steps of a metric that is there in each of these runs.
fn steps(values: &[f64], how: &Sensitivity) -> Vec<Step> {
    let points = change_points(&tame(values), &how.detection);
    let mut indices: Vec<usize> = points.iter().map(|point| point.index).collect();
    loop {
        let starts = [0].into_iter().chain(indices.iter().copied());
        let ends = indices.iter().copied().chain([values.len()]);
        let levels: Vec<&[f64]> = starts
            .zip(ends)
            .map(|(from, to)| &values[from..to])
            .collect();
        let strengths = levels
            .windows(2)
            .map(|pair| strength(pair[0], pair[1], how));
        let weakest = strengths
            .enumerate()
            .reduce(|weakest, next| if next.1 < weakest.1 { next } else { weakest });
        match weakest {
            Some((slot, strength)) if strength < 1.0 => indices.remove(slot),
            _ => {
                let pairs = levels.windows(2).zip(&indices);
                return pairs
                    .map(|(pair, index)| step(*index, pair[0], pair[1]))
                    .collect();
            }
        };
    }
}

/// Index of the first value since the last step.
pub(super) fn level_starts_at(values: &[f64], how: &Sensitivity) -> usize {
    steps(values, how).last().map_or(0, |step| step.index)
}

fn step(index: usize, before: &[f64], after: &[f64]) -> Step {
    let level = |values: &[f64]| Level {
        median: median(values),
        runs: values.len(),
    };
    Step {
        index,
        before: level(before),
        after: level(after),
        p: mann_whitney(before, after).map_or(1.0, |test| test.p),
    }
}

/// How far a step is beyond what is reported: below 1 it is not. Counts that are constant before
/// and constant after differ for certain, so that a few runs are enough.
fn strength(before: &[f64], after: &[f64], how: &Sensitivity) -> f64 {
    let (Some(from), Some(to)) = (median(before), median(after)) else {
        return 0.0;
    };
    let runs = before.len().min(after.len());
    let certain = constant(before).is_some() && constant(after).is_some();
    if certain {
        return if runs >= RUNS_IF_CONSTANT && from != to {
            f64::INFINITY
        } else {
            0.0
        };
    }
    let p = mann_whitney(before, after).map_or(1.0, |test| test.p);
    if runs < how.min_runs || p > how.detection.max_p {
        return 0.0;
    }
    let spread = |values: &[f64], center: f64| robust_deviation(values, center).powi(2);
    let deviation = spread(before, from).midpoint(spread(after, to)).sqrt();
    let size = (to - from).abs();
    let relative = size / (how.min_percent / 100.0 * from.abs());
    let in_deviations = size / (how.min_deviations * deviation);
    if size == 0.0 {
        0.0
    } else {
        relative.min(in_deviations)
    }
}
