//! A run beside the last ones of its kind.

use crate::{
    comparison::tolls::named,
    history::{costs::known, metrics::COST, text::including},
    run::metrics::metrics_and_cost,
};
use record::{HistoryRun, Origin, RunRecord, label};
use stats::nearest_rank;

/// How many earlier runs a run is compared with.
const EARLIER_MAX: usize = 10;
/// How many there must be to say what is usual.
const ENOUGH: usize = 3;

/// The earlier runs, and each metric beside theirs.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Ids of the earlier runs, the latest first; at most ten.
    pub runs: Vec<String>,
    /// How many of them are not valid and were taken in because that was asked for.
    pub not_valid: usize,
    /// Each metric that the run or an earlier one has, by name.
    pub metrics: Vec<ComparedMetric>,
}

/// A metric of the run and of the earlier ones.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedMetric {
    /// The metric's name, such as `PATCH-pods-count`; `cost (tolls)` for what all calls cost, which
    /// is always by the list that this Kubetoll comes with.
    pub name: String,
    /// The run's value; `None` if it lacks the metric and the others have it.
    pub value: Option<f64>,
    /// What the earlier runs that have it had.
    pub earlier: Option<Earlier>,
}

/// The values of earlier runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Earlier {
    /// How many earlier runs have the metric.
    pub runs: usize,
    /// The smallest value of these runs.
    pub least: f64,
    /// The value that half of them don't exceed.
    pub median: f64,
    /// The largest value of these runs.
    pub most: f64,
}

impl ComparedMetric {
    fn new(name: String, value: Option<f64>, earlier: &[f64]) -> Self {
        let earlier = nearest_rank(earlier, 50.0).map(|median| Earlier {
            runs: earlier.len(),
            least: earlier.iter().copied().fold(median, f64::min),
            median,
            most: earlier.iter().copied().fold(median, f64::max),
        });
        Self {
            name,
            value,
            earlier,
        }
    }

    /// Percent above the median.
    pub fn percent(&self) -> Option<f64> {
        let median = self.earlier?.median;
        (median != 0.0).then_some((self.value? / median - 1.0) * 100.0)
    }

    /// Whether no earlier run had such a value.
    fn is_unusual(&self) -> bool {
        match (self.value, self.earlier) {
            (Some(value), Some(earlier)) => value < earlier.least || value > earlier.most,
            _ => true,
        }
    }
}

impl Compared {
    /// What is to be noted of a metric: whether it is like that of the earlier runs, where these are
    /// enough to know what they usually have.
    pub fn note(&self, metric: &ComparedMetric) -> Option<&'static str> {
        if !metric.is_unusual() {
            None
        } else if self.runs.len() < ENOUGH {
            Some("another value, and too few runs to say more")
        } else {
            Some("outside of what they had")
        }
    }

    /// `the 7 good runs of its kind before it`, or `the 7 runs of its kind before it, including 2
    /// runs that are not valid`.
    pub fn earlier(&self) -> String {
        let runs = self.runs.len();
        let noun = if runs == 1 { "run" } else { "runs" };
        match including(self.not_valid) {
            None => format!("the {runs} good {noun} of its kind before it"),
            Some(including) => format!("the {runs} {noun} of its kind before it, {including}"),
        }
    }
}

/// The last runs of `history` of the same job, scenario, size and origin before this one, the latest
/// first, at most ten. All of the history count; the run itself may be in it.
pub fn earlier(record: &RunRecord, history: Vec<HistoryRun>) -> Vec<HistoryRun> {
    let own = history.iter().find(|run| run.id == record.id);
    let job = own.map_or("", |run| run.label(label::JOB)).to_owned();
    let origin = if record.simulated {
        Origin::Simulated
    } else {
        Origin::Counted
    };
    let objects = record.objects.len() as u64;
    let alike = |run: &HistoryRun| {
        run.at < record.started
            && run.origin == origin
            && run.label(label::SCENARIO) == record.scenario
            && run.label(label::JOB) == job
            && run.objects == Some(objects)
    };
    let mut earlier: Vec<HistoryRun> = history.into_iter().filter(alike).collect();
    earlier.sort_by_key(|run| std::cmp::Reverse(run.at));
    earlier.truncate(EARLIER_MAX);
    earlier
}

/// Compares a run with [`earlier`] ones; `None` if there are none.
pub fn compare(record: &RunRecord, earlier: &[HistoryRun]) -> Option<Compared> {
    if earlier.is_empty() {
        return None;
    }
    let (own, own_cost) = metrics_and_cost(record);
    let costs: Vec<f64> = earlier
        .iter()
        .filter_map(known)
        .map(|cost| cost.tolls)
        .collect();
    let cost = own_cost.map(|cost| cost.tolls);
    let cost = ComparedMetric::new(named(&COST.name_of(None)), cost, &costs);
    let mut names: Vec<&String> = earlier.iter().flat_map(|run| run.values.keys()).collect();
    names.extend(own.keys());
    names.sort();
    names.dedup();
    let metrics = names.into_iter().map(|name| {
        let values = earlier.iter().filter_map(|run| run.values.get(name));
        let values: Vec<f64> = values.copied().collect();
        ComparedMetric::new(name.clone(), own.get(name).copied(), &values)
    });
    let cost = (cost.value.is_some() || cost.earlier.is_some()).then_some(cost);
    Some(Compared {
        runs: earlier.iter().map(|run| run.id.clone()).collect(),
        not_valid: earlier.iter().filter(|run| !run.valid).count(),
        metrics: cost.into_iter().chain(metrics).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(runs: usize, value: f64) -> Compared {
        Compared {
            runs: vec!["r".to_owned(); runs],
            not_valid: 0,
            metrics: vec![ComparedMetric {
                name: "PATCH-pods-count".to_owned(),
                value: Some(value),
                earlier: Some(Earlier {
                    runs,
                    least: 100.0,
                    median: 100.0,
                    most: 100.0,
                }),
            }],
        }
    }

    #[test]
    fn one_earlier_run_is_too_few_to_say_what_is_usual() {
        let note = |runs, value| {
            let compared = compared(runs, value);
            compared.note(&compared.metrics[0])
        };
        let few = Some("another value, and too few runs to say more");
        assert_eq!((note(1, 100.0), note(1, 101.0)), (None, few));
        assert_eq!(note(2, 101.0), few);
        assert_eq!(note(3, 101.0), Some("outside of what they had"));
        let earlier = |runs, not_valid| {
            let mut compared = compared(runs, 0.0);
            compared.not_valid = not_valid;
            compared.earlier()
        };
        assert_eq!(earlier(1, 0), "the 1 good run of its kind before it");
        assert_eq!(earlier(2, 0), "the 2 good runs of its kind before it");
        let not_valid = "the 2 runs of its kind before it, including 1 run that is not valid";
        assert_eq!(earlier(2, 1), not_valid);
    }
}
