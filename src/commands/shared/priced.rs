//! Costs of runs that were kept with another price list, or by a Kubetoll that priced nothing.

use record::HistoryRun;
use store::{Store, StoreError};

/// Prices such runs anew, one by one from their records, which can be large.
pub(crate) fn priced(
    store: &mut Store,
    runs: Vec<HistoryRun>,
) -> Result<Vec<HistoryRun>, StoreError> {
    runs.into_iter().map(|run| priced_one(store, run)).collect()
}

/// The same, if a cost is among the metrics that are asked for.
pub(crate) fn priced_for<'n>(
    mut names: impl Iterator<Item = &'n str>,
    store: &mut Store,
    runs: Vec<HistoryRun>,
) -> Result<Vec<HistoryRun>, StoreError> {
    priced_if(names.any(report::is_cost_name), store, runs)
}

/// The same, if that is wanted.
pub(crate) fn priced_if(
    is_wanted: bool,
    store: &mut Store,
    runs: Vec<HistoryRun>,
) -> Result<Vec<HistoryRun>, StoreError> {
    if is_wanted {
        priced(store, runs)
    } else {
        Ok(runs)
    }
}

fn priced_one(store: &mut Store, mut run: HistoryRun) -> Result<HistoryRun, StoreError> {
    if !run.origin.is_own() || report::has_cost(&run) {
        return Ok(run);
    }
    if let Some(mut whole) = store.run(&run.id)? {
        report::price_anew(&mut whole);
        run.cost = whole.cost;
    }
    Ok(run)
}
