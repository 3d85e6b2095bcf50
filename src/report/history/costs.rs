//! What the runs of a history cost, as metrics.
//!
//! A cost is known of a run that was priced by the list that this Kubetoll comes with: costs by
//! different lists are never compared. A run that was kept with another list, or by a Kubetoll that
//! priced nothing, is priced anew from its record where that is at hand.

use std::collections::BTreeSet;

use super::metrics::{Numbers, fits};
use crate::{
    budgets::cost_name::CostName,
    run::{cost::standard_name, metrics::metrics_and_cost},
};
use record::{HistoryRun, RunCost};

/// Whether a run was priced by the list that this Kubetoll comes with.
pub fn has_cost(run: &HistoryRun) -> bool {
    known(run).is_some()
}

/// Prices a run anew that has a record, if it was priced by another list or not at all.
pub fn price_anew(run: &mut HistoryRun) {
    if let (false, Some(record)) = (has_cost(run), &run.record) {
        run.cost = metrics_and_cost(record).1;
    }
}

pub(crate) fn known(run: &HistoryRun) -> Option<&RunCost> {
    run.cost
        .as_ref()
        .filter(|cost| cost.list == standard_name())
}

/// A cost of a run.
pub(super) fn cost(run: &HistoryRun, name: CostName<'_>) -> Option<f64> {
    let cost = known(run)?;
    let tolls = match name.of {
        None => cost.tolls,
        Some(calls) => Numbers::of_cost(cost).get(calls)?,
    };
    Some(if name.per_object {
        tolls / run.objects? as f64
    } else {
        tolls
    })
}

/// The names of costs that one of the runs has, and that are what a user calls `name`.
pub(super) fn named<'r>(
    runs: impl IntoIterator<Item = &'r HistoryRun> + Clone,
    name: CostName<'_>,
) -> BTreeSet<String> {
    let names = known_names(runs, name);
    let Some(wanted) = name.of else {
        let own = name.name_of(None);
        return names.contains(&own).then_some(own).into_iter().collect();
    };
    let fitting = names.into_iter().filter(|known| {
        let calls = CostName::parse(known).and_then(|known| known.of);
        calls.is_some_and(|calls| fits(calls, wanted))
    });
    fitting.collect()
}

/// The names of all costs that one of the runs has, by the number of objects or not as `like` is.
pub(super) fn known_names<'r>(
    runs: impl IntoIterator<Item = &'r HistoryRun> + Clone,
    like: CostName<'_>,
) -> BTreeSet<String> {
    let costs = || runs.clone().into_iter().filter_map(known);
    let numbers = || costs().map(Numbers::of_cost);
    let calls = numbers().flat_map(|numbers| numbers.all_names());
    let mut names: BTreeSet<String> = calls.map(|calls| like.name_of(Some(&calls))).collect();
    names.extend(costs().next().map(|_| like.name_of(None)));
    names
}

/// Why some of the runs have no cost, in words; empty if all have one.
pub(crate) fn why_unknown<'r>(runs: impl IntoIterator<Item = &'r HistoryRun>) -> String {
    let mut without = runs.into_iter().filter(|run| !has_cost(run));
    let Some(first) = without.next() else {
        return String::new();
    };
    let why = match &first.cost {
        Some(cost) => format!(
            "was priced by another list, that of {}, and is here without its record",
            cost.list
        ),
        None if !first.origin.is_own() => {
            "was imported, and only runs that Kubetoll made have a cost".to_owned()
        }
        None => "was kept by a Kubetoll that priced nothing, and is here without its record, or \
                 none of its calls has a price"
            .to_owned(),
    };
    let more = match without.count() {
        0 => String::new(),
        1 => "; 1 run more has none".to_owned(),
        more => format!("; {more} runs more have none"),
    };
    format!("{} {why}{more}", first.id)
}
