//! The names of a history's metrics, and what they mean wherever one is typed.
//!
//! - `PATCH-pods`, `PATCH-pods/status`: a row of the books, over all components, in kube-apiserver's
//!   terms. `PATCH-pods` is without subresources.
//! - `virt-controller:PATCH-pods`: the same of one component; written with `-count` at its end.
//! - `PATCH-pods-count`: KubeVirt's value, over KubeVirt's components, into which its rule folds the
//!   subresources. All other names are KubeVirt's, too, but for those of costs and findings:
//! - `cost`, `cost:PATCH-pods`: what all calls cost, or those of a name, in tolls; `cost-per-object`
//!   and `cost-per-object:PATCH-pods` by the number of objects.
//! - `why:no-op-write`: how many calls findings of that kind have; `why:saved`: how many could go.

use std::collections::{BTreeMap, BTreeSet};

use super::costs;
use crate::{
    budgets::{
        cost_name::{CostName, is_cost_name},
        finding_name::is_finding_name,
        row_name::COUNT,
    },
    nearest::meant,
};
use record::{HistoryRun, RunCost};

/// Between the component and the metric in the name of a component's metric.
const OF_COMPONENT: char = ':';
/// Stands for any letters in the name of a metric.
const ANY: char = '*';

/// What all calls of a run cost.
pub(crate) const COST: CostName<'_> = CostName {
    per_object: false,
    of: None,
};

/// A metric's value in a run that has it.
pub fn metric(run: &HistoryRun, name: &str) -> Option<f64> {
    let value = match CostName::parse(name) {
        Some(cost) => costs::cost(run, cost),
        None => Numbers::of(run).get(name),
    };
    value.filter(|value| value.is_finite())
}

/// The counts of a run, or what these cost: by KubeVirt's names, and by component.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers<'r> {
    values: &'r BTreeMap<String, f64>,
    components: &'r BTreeMap<String, BTreeMap<String, f64>>,
}

impl<'r> Numbers<'r> {
    fn of(run: &'r HistoryRun) -> Self {
        Self {
            values: &run.values,
            components: &run.components,
        }
    }

    pub(super) fn of_cost(cost: &'r RunCost) -> Self {
        Self {
            values: &cost.values,
            components: &cost.components,
        }
    }

    pub(super) fn get(self, name: &str) -> Option<f64> {
        let of_component = name.split_once(OF_COMPONENT);
        match of_component.filter(|_| is_of_component(name)) {
            Some((component, name)) => self.components.get(component)?.get(name).copied(),
            None if is_row(name) => self.row(name),
            None => self.values.get(name).copied(),
        }
    }

    /// A row of the books over all components.
    fn row(self, name: &str) -> Option<f64> {
        let name = format!("{name}{COUNT}");
        let components = self.components.values();
        let found = components.filter_map(|metrics| metrics.get(&name).copied());
        found.reduce(|sum, one| sum + one)
    }

    fn component_names(self) -> impl Iterator<Item = String> + use<'r> {
        self.components.iter().flat_map(|(component, metrics)| {
            let own = metrics.keys();
            own.map(move |name| format!("{component}{OF_COMPONENT}{name}"))
        })
    }

    /// Rows over all components.
    fn row_names(self) -> impl Iterator<Item = String> + use<'r> {
        let names = self.components.values().flat_map(BTreeMap::keys);
        names.filter_map(|name| Some(name.strip_suffix(COUNT)?.to_owned()))
    }

    pub(super) fn all_names(self) -> impl Iterator<Item = String> + use<'r> {
        let values = self.values.keys().cloned();
        values.chain(self.component_names()).chain(self.row_names())
    }
}

/// Whether a name is that of a component's metric.
fn is_of_component(name: &str) -> bool {
    name.contains(OF_COMPONENT) && !is_finding_name(name) && !is_cost_name(name)
}

/// Whether a name is that of a row: a verb in capitals before a resource or a path.
fn is_row(name: &str) -> bool {
    let is_verb =
        |verb: &str| !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_uppercase());
    !name.ends_with(COUNT) && name.split_once('-').is_some_and(|(verb, _)| is_verb(verb))
}

/// Whether a metric counts calls: a run with exact counts that doesn't have it made none.
pub(crate) fn is_count(metric: &str) -> bool {
    let is_count = metric.ends_with(COUNT) || is_row(metric) || is_finding_name(metric);
    is_count && !is_cost_name(metric)
}

/// Whether a metric grows with the number of objects: a count, or a cost of all of them.
pub(crate) fn grows(metric: &str) -> bool {
    is_count(metric) || CostName::parse(metric).is_some_and(|cost| !cost.per_object)
}

/// Whether a metric is what a user calls `name`.
pub(crate) fn is_named(metric: &str, name: &str) -> bool {
    if let (Some(metric), Some(name)) = (CostName::parse(metric), CostName::parse(name)) {
        let same = match (metric.of, name.of) {
            (Some(metric), Some(name)) => is_named(metric, name),
            (metric, name) => metric == name,
        };
        return same && metric.per_object == name.per_object;
    }
    let of_component = is_of_component(metric);
    metric == name || (of_component && metric.strip_suffix(COUNT) == Some(name))
}

/// The names of all metrics that one of the runs has, without rows over all components; those of
/// components only if asked for, and of costs only that of all calls.
fn metric_names<'r>(
    runs: impl IntoIterator<Item = &'r HistoryRun>,
    of_components: bool,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for run in runs {
        let numbers = Numbers::of(run);
        names.extend(numbers.values.keys().cloned());
        names.extend(costs::known(run).map(|_| COST.name_of(None)));
        if of_components {
            names.extend(numbers.component_names());
        }
    }
    names
}

/// The names of all rows that one of the runs has, over all components.
fn row_names<'r>(runs: impl IntoIterator<Item = &'r HistoryRun>) -> BTreeSet<String> {
    let runs = runs.into_iter();
    runs.flat_map(|run| Numbers::of(run).row_names()).collect()
}

/// All that a metric of the runs may be called, to find out what was meant by a name.
fn known_names<'r>(
    runs: impl IntoIterator<Item = &'r HistoryRun> + Clone,
    name: &str,
) -> BTreeSet<String> {
    if let Some(cost) = CostName::parse(name) {
        return costs::known_names(runs, cost);
    }
    let mut names = metric_names(runs.clone(), true);
    names.extend(row_names(runs));
    names
}

/// What may have been meant by a name that no run has a metric of; of a cost, why none has one.
pub(crate) fn what_was_meant<'r>(
    runs: impl IntoIterator<Item = &'r HistoryRun> + Clone,
    name: &str,
) -> String {
    let known = known_names(runs.clone(), name);
    if is_cost_name(name) && known.is_empty() {
        return costs::why_unknown(runs);
    }
    meant(name, known.iter().map(String::as_str))
}

/// Which metrics are looked at: all, or those that were named. A `*` in a name stands for anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    all: bool,
    names: Vec<String>,
}

impl Metrics {
    /// All metrics, rows over all components only where they are named.
    pub fn all_and(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            all: true,
            names: names.into_iter().collect(),
        }
    }

    /// The metrics of these names.
    pub fn only(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            all: false,
            names: names.into_iter().collect(),
        }
    }

    /// Whether a name is that of a component's metric.
    pub fn of_components(&self) -> bool {
        self.names.iter().any(|name| is_of_component(name))
    }

    /// The metrics of these runs. Where a row is named, KubeVirt's value of nearly the same name is
    /// among them if it is another.
    pub fn of<'r>(
        &self,
        runs: impl IntoIterator<Item = &'r HistoryRun> + Clone,
        of_components: bool,
    ) -> BTreeSet<String> {
        let mut names = metric_names(runs.clone(), of_components);
        if !self.all {
            names.retain(|metric| self.names.iter().any(|name| fits(metric, name)));
        }
        let mut rows = row_names(runs.clone());
        rows.retain(|row| self.names.iter().any(|name| fits(row, name)));
        let costs = self.names.iter().filter_map(|name| CostName::parse(name));
        for cost in costs {
            names.extend(costs::named(runs.clone(), cost));
        }
        for row in rows {
            let folded = format!("{row}{COUNT}");
            let mut both = runs
                .clone()
                .into_iter()
                .filter_map(|run| Some((metric(run, &row), metric(run, &folded)?)));
            if both.any(|(own, folded)| own != Some(folded)) {
                names.insert(folded);
            }
            names.insert(row);
        }
        names
    }

    /// # Errors
    /// A name that is of no metric of the runs, and what may have been meant.
    pub fn check<'r>(
        &self,
        runs: impl IntoIterator<Item = &'r HistoryRun> + Clone,
    ) -> Result<(), String> {
        let is_unknown = |name: &&String| {
            let known = known_names(runs.clone(), name);
            !known.iter().any(|known| fits(known, name))
        };
        match self.names.iter().find(is_unknown) {
            None => Ok(()),
            Some(name) => {
                let meant = what_was_meant(runs, name);
                Err(format!("no run has the metric {name}: {meant}"))
            }
        }
    }
}

/// Whether a metric is one that a name with or without a `*` means.
pub(super) fn fits(metric: &str, name: &str) -> bool {
    if !name.contains(ANY) {
        return is_named(metric, name);
    }
    if let (Some(metric), Some(name)) = (CostName::parse(metric), CostName::parse(name)) {
        let both = metric.of.zip(name.of);
        let fitting = both.is_some_and(|(metric, name)| fits(metric, name));
        return fitting && metric.per_object == name.per_object;
    }
    let of_component = is_of_component(metric);
    let without_count = metric.strip_suffix(COUNT).filter(|_| of_component);
    matches(metric, name) || without_count.is_some_and(|metric| matches(metric, name))
}

/// Whether a text is a pattern in which a `*` stands for any letters.
fn matches(metric: &str, name: &str) -> bool {
    let mut parts = name.split(ANY);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = metric.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Origin;

    fn run(patched: f64, status: f64, folded: f64) -> HistoryRun {
        let counts = [
            ("PATCH-pods-count", patched),
            ("PATCH-pods/status-count", status),
        ];
        let counts = counts.map(|(name, count)| (name.to_owned(), count));
        HistoryRun {
            id: "r".to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
            origin: Origin::Counted,
            valid: true,
            failure: None,
            labels: [].into(),
            objects: Some(100),
            values: [("PATCH-pods-count".to_owned(), folded)].into(),
            components: [
                ("virt-controller".to_owned(), counts.into()),
                (
                    "other".to_owned(),
                    [("PATCH-pods-count".to_owned(), 1.0)].into(),
                ),
            ]
            .into(),
            cost: None,
            record: None,
        }
    }

    fn named(names: &[&str]) -> Metrics {
        Metrics::only(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn a_row_is_without_subresources_and_kubevirts_value_has_a_name_of_its_own() {
        let run = run(100.0, 107.0, 207.0);
        assert_eq!(metric(&run, "PATCH-pods"), Some(101.0));
        assert_eq!(metric(&run, "PATCH-pods/status"), Some(107.0));
        assert_eq!(metric(&run, "PATCH-pods-count"), Some(207.0));
        assert_eq!(
            metric(&run, "virt-controller:PATCH-pods-count"),
            Some(100.0)
        );
        assert_eq!(metric(&run, "GET-pods"), None);
    }

    #[test]
    fn where_a_row_is_named_kubevirts_value_is_shown_if_it_is_another() {
        let of = |run: &HistoryRun, names: &[&str]| -> Vec<String> {
            named(names).of([run], false).into_iter().collect()
        };
        let differs = run(100.0, 107.0, 207.0);
        assert_eq!(
            of(&differs, &["PATCH-pods"]),
            ["PATCH-pods", "PATCH-pods-count"]
        );
        assert_eq!(of(&differs, &["PATCH-pods-count"]), ["PATCH-pods-count"]);
        assert_eq!(of(&run(100.0, 0.0, 101.0), &["PATCH-pods"]), ["PATCH-pods"]);
        let all = Metrics::all_and([]).of([&differs], false);
        assert_eq!(all.len(), 1, "rows are shown if they are named");
    }

    #[test]
    fn a_name_that_no_run_has_is_refused_with_what_was_meant() {
        let run = run(100.0, 107.0, 207.0);
        for good in [
            "PATCH-pods",
            "PATCH-pods-count",
            "virt-controller:PATCH-pods/status",
            "virt-controller:PATCH-pods/status-count",
            "PATCH-*",
            "*:PATCH-pods",
        ] {
            assert_eq!(named(&[good]).check([&run]), Ok(()), "{good}");
        }
        assert_eq!(
            named(&["PATCH-podz"]).check([&run]).unwrap_err(),
            "no run has the metric PATCH-podz: did you mean PATCH-pods or PATCH-pods-count or \
             PATCH-pods/status?"
        );
    }

    /// The same with a cost of ten tolls for each call.
    fn priced(run: HistoryRun) -> HistoryRun {
        let tolls = |counts: &BTreeMap<String, f64>| -> BTreeMap<String, f64> {
            let counts = counts.iter();
            counts
                .map(|(name, count)| (name.clone(), count * 10.0))
                .collect()
        };
        let components = run.components.iter();
        let cost = RunCost {
            list: crate::standard_name().to_owned(),
            tolls: 4000.0,
            unpriced_calls: 3,
            values: tolls(&run.values),
            components: components
                .map(|(component, counts)| (component.clone(), tolls(counts)))
                .collect(),
        };
        HistoryRun {
            cost: Some(cost),
            ..run
        }
    }

    #[test]
    fn a_cost_is_of_all_calls_or_of_any_that_have_a_name() {
        let run = priced(run(100.0, 107.0, 207.0));
        for (name, value) in [
            ("cost", Some(4000.0)),
            ("cost-per-object", Some(40.0)),
            ("cost:PATCH-pods", Some(1010.0)),
            ("cost-per-object:PATCH-pods", Some(10.1)),
            ("cost:PATCH-pods/status", Some(1070.0)),
            ("cost:PATCH-pods-count", Some(2070.0)),
            ("cost:virt-controller:PATCH-pods-count", Some(1000.0)),
            ("cost:GET-pods", None),
        ] {
            assert_eq!(metric(&run, name), value, "{name}");
            let is_known = named(&[name]).check([&run]).is_ok();
            assert_eq!(is_known, value.is_some(), "{name}");
        }
        let of =
            |name: &str| -> Vec<String> { named(&[name]).of([&run], false).into_iter().collect() };
        assert_eq!(of("cost"), ["cost"]);
        assert_eq!(of("cost:PATCH-pods"), ["cost:PATCH-pods"]);
        assert_eq!(
            of("cost:virt-controller:PATCH-pods"),
            ["cost:virt-controller:PATCH-pods-count"]
        );
        assert_eq!(
            of("cost:PATCH-*"),
            [
                "cost:PATCH-pods",
                "cost:PATCH-pods-count",
                "cost:PATCH-pods/status"
            ]
        );
        let all = Metrics::all_and([]).of([&run], false);
        assert_eq!(
            all.into_iter().collect::<Vec<_>>(),
            ["PATCH-pods-count", "cost"]
        );
        assert_eq!(
            named(&["cost:PATCH-podz"]).check([&run]).unwrap_err(),
            "no run has the metric cost:PATCH-podz: did you mean cost:PATCH-pods or \
             cost:PATCH-pods-count or cost:PATCH-pods/status?"
        );
        assert!(is_count("PATCH-pods") && !is_count("cost:PATCH-pods") && !is_count("cost"));
        assert!(grows("cost:PATCH-pods") && !grows("cost-per-object"));
    }

    #[test]
    fn a_cost_by_another_list_or_of_no_list_is_not_known() {
        let mut other = priced(run(100.0, 107.0, 207.0));
        other.cost.as_mut().unwrap().list = "another".to_owned();
        let mut imported = run(100.0, 107.0, 207.0);
        imported.origin = Origin::Estimate;
        let kept = run(100.0, 107.0, 207.0);
        for (run, why) in [
            (
                other,
                "r was priced by another list, that of another, and is here without its record",
            ),
            (
                imported,
                "r was imported, and only runs that Kubetoll made have a cost",
            ),
            (
                kept,
                "r was kept by a Kubetoll that priced nothing, and is here without its record, or \
                 none of its calls has a price",
            ),
        ] {
            assert_eq!(metric(&run, "cost"), None);
            assert!(!Metrics::all_and([]).of([&run], false).contains("cost"));
            let refused = named(&["cost"]).check([&run]).unwrap_err();
            assert_eq!(refused, format!("no run has the metric cost: {why}"));
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (metric, name, fitting) in [
            ("PATCH-pods-count", "PATCH-*", true),
            ("PATCH-pods-count", "*-count", true),
            ("PATCH-pods-count", "*", true),
            ("PATCH-pods-count", "P*pods*nt", true),
            ("PATCH-pods-count", "P*nodes*", false),
            ("PATCH-pods-count", "PATCH-pods*s-count", false),
            ("PATCH-pods-count", "GET-*", false),
        ] {
            assert_eq!(fits(metric, name), fitting, "{metric} {name}");
        }
    }
}
