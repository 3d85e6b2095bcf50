//! The comparison of two groups of runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    changes::detect::percent,
    comparison::tolls,
    history::metrics::{Metrics, grows, metric},
};
use record::{
    Comparison, GroupInfo, HistoryRun, MetricComparison, Origin, ScenarioComparison, Side, Verdict,
    label,
};
use stats::{constant, hodges_lehmann, mann_whitney, median, median_difference_interval};

/// Runs of each group that must agree for a change to be certain. Two runs of a count that is one
/// thing or the other differ that way in one of eight comparisons, three in one of 32.
const CERTAIN_FROM: usize = 3;

/// Runs under the name that they were asked for by.
#[derive(Debug, Clone)]
pub struct Group {
    /// As it was asked for, such as `kubevirt=v1.8.0`.
    pub name: String,
    /// Its runs, of any scenario: all of them count.
    pub runs: Vec<HistoryRun>,
}

/// What is compared, and when a difference is one.
#[derive(Debug, Clone, Copy)]
pub struct HowToCompare {
    /// The p below which a difference is called one.
    pub alpha: f64,
    /// Whether the metrics of single components are compared, too.
    pub of_components: bool,
    /// Whether estimates may be compared with exact counts, or simulated runs with others.
    pub mix_origins: bool,
}

/// Two groups that are not compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// A group has no runs, or none that count.
    #[error("{0} has no valid run")]
    Empty(String),
    /// Numbers that mean different things.
    #[error(
        "{a} has {a_origins} numbers and {b} has {b_origins}: they mean different things; \
         --mix-origins compares them all the same, and marks it"
    )]
    Origins {
        /// Name of the group that is compared with.
        a: String,
        /// Origins of its runs' numbers, in words.
        a_origins: String,
        /// Name of the group that is judged.
        b: String,
        /// Origins of its runs' numbers, in words.
        b_origins: String,
    },
    /// The groups have no scenario in common.
    #[error("{a} and {b} have no scenario in common: {a_scenarios} and {b_scenarios}")]
    Scenarios {
        /// Name of the group that is compared with.
        a: String,
        /// Scenarios of its runs, in words.
        a_scenarios: String,
        /// Name of the group that is judged.
        b: String,
        /// Scenarios of its runs, in words.
        b_scenarios: String,
    },
}

/// Compares these metrics of the runs of two groups, scenario by scenario.
///
/// # Errors
/// If a group is empty, or the groups can't be compared.
pub fn compare(
    a: &Group,
    b: &Group,
    metrics: &Metrics,
    how: &HowToCompare,
) -> Result<Comparison, CompareError> {
    let mixed_origins = check_origins(a, b, how)?;
    let (in_a, in_b) = (by_scenario(a)?, by_scenario(b)?);
    let both = in_a
        .iter()
        .filter_map(|(scenario, runs)| Some((*scenario, runs, in_b.get(scenario)?)));
    let scenarios: Vec<_> = both
        .map(|(scenario, a, b)| compare_scenario(scenario, a, b, metrics, how))
        .collect();
    if scenarios.is_empty() {
        return Err(CompareError::Scenarios {
            a: a.name.clone(),
            a_scenarios: listed(in_a.keys().copied()),
            b: b.name.clone(),
            b_scenarios: listed(in_b.keys().copied()),
        });
    }
    let (names_a, names_b): (BTreeSet<_>, BTreeSet<_>) =
        (in_a.keys().collect(), in_b.keys().collect());
    let alone = names_a.symmetric_difference(&names_b);
    Ok(Comparison {
        a: info(a),
        b: info(b),
        mixed_origins,
        alpha: how.alpha,
        scenarios,
        not_compared: alone.map(ToString::to_string).collect(),
        limits: Vec::new(),
        learned: None,
        exit_code: 0,
    })
}

fn origins(group: &Group) -> BTreeSet<Origin> {
    group.runs.iter().map(|run| run.origin).collect()
}

fn info(group: &Group) -> GroupInfo {
    GroupInfo {
        name: group.name.clone(),
        runs: group.runs.iter().map(|run| run.id.clone()).collect(),
        not_valid: group.runs.iter().filter(|run| !run.valid).count(),
        origins: origins(group).into_iter().collect(),
    }
}

/// Whether the groups hold numbers of different origins. An audit log counts what the proxies
/// count, so that these two are one.
fn check_origins(a: &Group, b: &Group, how: &HowToCompare) -> Result<bool, CompareError> {
    let means = |origin: &Origin| match origin {
        Origin::Audit => Origin::Counted,
        origin => *origin,
    };
    let (of_a, of_b) = (origins(a), origins(b));
    let all: BTreeSet<Origin> = of_a.iter().chain(&of_b).map(means).collect();
    if all.len() <= 1 || how.mix_origins {
        return Ok(all.len() > 1);
    }
    Err(CompareError::Origins {
        a: a.name.clone(),
        a_origins: listed(of_a.iter().map(|origin| origin.as_str())),
        b: b.name.clone(),
        b_origins: listed(of_b.iter().map(|origin| origin.as_str())),
    })
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names
        .map(|name| if name.is_empty() { "(none)" } else { name })
        .collect();
    names.join(", ")
}

fn by_scenario(group: &Group) -> Result<BTreeMap<&str, Vec<&HistoryRun>>, CompareError> {
    let mut found: BTreeMap<&str, Vec<&HistoryRun>> = BTreeMap::new();
    for run in &group.runs {
        found
            .entry(run.label(label::SCENARIO))
            .or_default()
            .push(run);
    }
    if found.is_empty() {
        return Err(CompareError::Empty(group.name.clone()));
    }
    for runs in found.values_mut() {
        runs.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    }
    Ok(found)
}

fn compare_scenario(
    scenario: &str,
    a: &[&HistoryRun],
    b: &[&HistoryRun],
    wanted: &Metrics,
    how: &HowToCompare,
) -> ScenarioComparison {
    let (a_objects, b_objects) = (objects(a), objects(b));
    let per_object = compares_per_object(a, b);
    let names = wanted.of(a.iter().chain(b).copied(), how.of_components);
    let metrics = names.iter().map(|name| {
        let (before, after) = (values(a, name, per_object), values(b, name, per_object));
        let mut found = compare_metric(name, &before, &after, (a.len(), b.len()), how.alpha);
        if grows(name) {
            let per = |median: Option<f64>, objects: Option<u64>| {
                let divisor = if per_object { 1 } else { objects? };
                Some(median? / divisor.max(1) as f64)
            };
            found.a.per_object = per(found.a.median, a_objects);
            found.b.per_object = per(found.b.median, b_objects);
        }
        found.a.tolls = tolls::median(a, name, per_object);
        found.b.tolls = tolls::median(b, name, per_object);
        found
    });
    ScenarioComparison {
        scenario: scenario.to_owned(),
        a_runs: a.len(),
        b_runs: b.len(),
        a_objects,
        b_objects,
        per_object,
        a_unpriced: tolls::unpriced(a),
        b_unpriced: tolls::unpriced(b),
        metrics: metrics.collect(),
    }
}

/// The number of objects that all runs have.
fn objects(runs: &[&HistoryRun]) -> Option<u64> {
    let first = runs.first()?.objects?;
    runs.iter()
        .all(|run| run.objects == Some(first))
        .then_some(first)
}

/// Runs with different numbers of objects have nothing in common but the cost of one.
fn compares_per_object(a: &[&HistoryRun], b: &[&HistoryRun]) -> bool {
    let numbers: BTreeSet<Option<u64>> = a.iter().chain(b).map(|run| run.objects).collect();
    numbers.len() > 1 && !numbers.contains(&None)
}

/// A metric's values in runs that have it.
pub(crate) fn values(runs: &[&HistoryRun], name: &str, per_object: bool) -> Vec<f64> {
    let values = runs.iter().filter_map(|run| value(run, name, per_object));
    values.collect()
}

/// A metric's values, 0 in runs that don't have it.
pub(crate) fn values_or_zero(runs: &[&HistoryRun], name: &str, per_object: bool) -> Vec<f64> {
    let values = runs
        .iter()
        .map(|run| value(run, name, per_object).unwrap_or_default());
    values.collect()
}

fn value(run: &HistoryRun, name: &str, per_object: bool) -> Option<f64> {
    let value = metric(run, name)?;
    let objects = run.objects.unwrap_or(1).max(1) as f64;
    Some(if per_object && grows(name) {
        value / objects
    } else {
        value
    })
}

fn compare_metric(
    name: &str,
    a: &[f64],
    b: &[f64],
    runs: (usize, usize),
    alpha: f64,
) -> MetricComparison {
    let (before, after) = (side(a), side(b));
    let difference = after
        .median
        .zip(before.median)
        .map(|(after, before)| after - before);
    let test = mann_whitney(a, b);
    let interval = median_difference_interval(a, b);
    MetricComparison {
        metric: name.to_owned(),
        difference,
        percent: percent(before.median, after.median),
        shift: hodges_lehmann(a, b),
        interval: interval.map(|interval| [interval.low, interval.high]),
        p: test.map(|test| test.p),
        smallest_p: test.map(|test| test.smallest_p),
        verdict: verdict(a, b, runs, alpha),
        a: before,
        b: after,
    }
}

fn side(values: &[f64]) -> Side {
    Side {
        runs: values.len(),
        median: median(values),
        min: values.iter().copied().reduce(f64::min),
        max: values.iter().copied().reduce(f64::max),
        per_object: None,
        tolls: None,
    }
}

/// What the values say, of groups of `runs` runs each.
fn verdict(a: &[f64], b: &[f64], runs: (usize, usize), alpha: f64) -> Verdict {
    let Some(test) = mann_whitney(a, b) else {
        return presence(a.len(), b.len(), runs, alpha);
    };
    match (constant(a), constant(b)) {
        (Some(before), Some(after)) if before == after => Verdict::Equal,
        (Some(_), Some(_)) if a.len().min(b.len()) >= CERTAIN_FROM => Verdict::Changed,
        _ if test.smallest_p >= alpha => Verdict::Unknown,
        _ if test.p < alpha => Verdict::Differs,
        _ => Verdict::Noise,
    }
}

/// A metric that one group doesn't have is missing or new if all runs of the other have it, or if
/// so many have it that chance doesn't explain it.
fn presence(in_a: usize, in_b: usize, runs: (usize, usize), alpha: f64) -> Verdict {
    let verdict = if in_a > 0 {
        Verdict::Missing
    } else {
        Verdict::New
    };
    if (in_a, in_b) == (runs.0, 0) || (in_a, in_b) == (0, runs.1) {
        return verdict;
    }
    let indicator = |with: usize, all: usize| [vec![1.0; with], vec![0.0; all - with]].concat();
    match mann_whitney(&indicator(in_a, runs.0), &indicator(in_b, runs.1)) {
        Some(test) if test.p < alpha => verdict,
        Some(test) if test.smallest_p < alpha => Verdict::Noise,
        _ => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_of_few_runs_is_not_missed() {
        let verdict = |in_a, in_b, runs| presence(in_a, in_b, runs, 0.01);
        assert_eq!(verdict(1, 0, (1, 1)), Verdict::Missing);
        assert_eq!(verdict(0, 3, (5, 3)), Verdict::New);
        assert_eq!(verdict(3, 0, (321, 118)), Verdict::Noise);
        assert_eq!(verdict(200, 0, (321, 118)), Verdict::Missing);
        assert_eq!(verdict(1, 0, (2, 2)), Verdict::Unknown);
    }
}
