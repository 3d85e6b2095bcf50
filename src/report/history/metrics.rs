//! The names of a history's metrics, and what they mean wherever one is typed.
//!
//! - `PATCH-pods`, `PATCH-pods/status`: a row of the books, over all components, in kube-apiserver's
//!   terms. `PATCH-pods` is without subresources.
//! - `virt-controller:PATCH-pods`: the same of one component; written with `-count` at its end.
//! - `PATCH-pods-count`: KubeVirt's value, over KubeVirt's components, into which its rule folds the
//!   subresources. All other names are KubeVirt's, too, but for those of findings:
//! - `why:no-op-write`: how many calls findings of that kind have; `why:saved`: how many could go.

use std::collections::BTreeSet;

use crate::{
    budgets::{finding_name::is_finding_name, row_name::COUNT},
    nearest::meant,
};
use record::HistoryRun;

/// Between the component and the metric in the name of a component's metric.
const OF_COMPONENT: char = ':';
/// Stands for any letters in the name of a metric.
const ANY: char = '*';

/// A metric's value in a run that has it.
pub fn metric(run: &HistoryRun, name: &str) -> Option<f64> {
    let value = match name
        .split_once(OF_COMPONENT)
        .filter(|_| is_of_component(name))
    {
        Some((component, name)) => run.components.get(component)?.get(name).copied(),
        None if is_row(name) => row(run, name),
        None => run.values.get(name).copied(),
    };
    value.filter(|value| value.is_finite())
}

/// Whether a name is that of a component's metric.
fn is_of_component(name: &str) -> bool {
    name.contains(OF_COMPONENT) && !is_finding_name(name)
}

/// A row of the books over all components.
fn row(run: &HistoryRun, name: &str) -> Option<f64> {
    let name = format!("{name}{COUNT}");
    let found = run
        .components
        .values()
        .filter_map(|metrics| metrics.get(&name).copied());
    found.reduce(|sum, count| sum + count)
}

/// Whether a name is that of a row: a verb in capitals before a resource or a path.
fn is_row(name: &str) -> bool {
    let is_verb =
        |verb: &str| !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_uppercase());
    !name.ends_with(COUNT) && name.split_once('-').is_some_and(|(verb, _)| is_verb(verb))
}

/// Whether a metric counts calls, so that it grows with the number of objects.
pub(crate) fn is_count(metric: &str) -> bool {
    metric.ends_with(COUNT) || is_row(metric) || is_finding_name(metric)
}

/// Whether a metric is what a user calls `name`.
pub(crate) fn is_named(metric: &str, name: &str) -> bool {
    let of_component = is_of_component(metric);
    metric == name || (of_component && metric.strip_suffix(COUNT) == Some(name))
}

/// The names of all metrics that one of the runs has, without rows over all components; those of
/// components only if asked for.
fn metric_names<'r>(
    runs: impl IntoIterator<Item = &'r HistoryRun>,
    of_components: bool,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for run in runs {
        names.extend(run.values.keys().cloned());
        for (component, metrics) in run.components.iter().filter(|_| of_components) {
            let own = metrics.keys();
            names.extend(own.map(|name| format!("{component}{OF_COMPONENT}{name}")));
        }
    }
    names
}

/// The names of all rows that one of the runs has, over all components.
fn row_names<'r>(runs: impl IntoIterator<Item = &'r HistoryRun>) -> BTreeSet<String> {
    let components = runs.into_iter().flat_map(|run| run.components.values());
    let names = components.flat_map(|metrics| metrics.keys());
    names
        .filter_map(|name| Some(name.strip_suffix(COUNT)?.to_owned()))
        .collect()
}

/// All that a metric of the runs may be called, to find out what was meant by a name.
pub(crate) fn known_names<'r>(
    runs: impl IntoIterator<Item = &'r HistoryRun> + Clone,
) -> BTreeSet<String> {
    let mut names = metric_names(runs.clone(), true);
    names.extend(row_names(runs));
    names
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
        let known = known_names(runs);
        let is_unknown = |name: &&String| !known.iter().any(|known| fits(known, name));
        match self.names.iter().find(is_unknown) {
            None => Ok(()),
            Some(name) => {
                let meant = meant(name, known.iter().map(String::as_str));
                Err(format!("no run has the metric {name}: {meant}"))
            }
        }
    }
}

/// Whether a metric is one that a name with or without a `*` means.
fn fits(metric: &str, name: &str) -> bool {
    if !name.contains(ANY) {
        return is_named(metric, name);
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
