//! The steps of a metric from one level to another.

use stats::{Detection, change_points, constant, mann_whitney, median, robust_deviation, tame};

/// Runs before and after a change of exact counts that never vary otherwise.
pub(super) const RUNS_IF_CONSTANT: usize = 3;

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
            min_deviations: 1.0,
        }
    }
}

impl Sensitivity {
    /// Runs of a series below which no step can be told, not even of counts that never vary.
    pub(super) fn shortest() -> u64 {
        2 * RUNS_IF_CONSTANT as u64
    }
}

/// The runs between two changes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Level {
    /// `None` if the metric is missing.
    pub(super) median: Option<f64>,
    pub(super) runs: usize,
}

/// A step between two levels.
pub(super) struct Step {
    pub(super) index: usize,
    pub(super) before: Level,
    pub(super) after: Level,
    pub(super) p: f64,
}

/// The steps of a metric that is there in each of these runs; `tamed` is where candidates are
/// looked for.
pub(super) fn steps(values: &[f64], tamed: &[f64], how: &Sensitivity) -> Vec<Step> {
    let points = change_points(tamed, &how.detection);
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
pub(crate) fn level_starts_at(values: &[f64], how: &Sensitivity) -> usize {
    steps(values, &tame(values), how)
        .last()
        .map_or(0, |step| step.index)
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
    if runs < how.min_runs || from == to {
        return 0.0;
    }
    let spread = |values: &[f64], center: f64| robust_deviation(values, center).powi(2);
    let deviation = spread(before, from).midpoint(spread(after, to)).sqrt();
    let size = (to - from).abs();
    let relative = size / (how.min_percent / 100.0 * from.abs());
    let strength = relative.min(size / (how.min_deviations * deviation));
    // The costly test comes last.
    let is_likely =
        || mann_whitney(before, after).is_some_and(|test| test.p <= how.detection.max_p);
    if strength < 1.0 || is_likely() {
        strength
    } else {
        0.0
    }
}
