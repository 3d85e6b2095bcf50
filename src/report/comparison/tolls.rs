//! What the calls of two groups of runs cost.

use super::compare::values;
use crate::{
    budgets::cost_name::{CostName, cost_of, is_cost_name},
    history::{
        costs::known,
        metrics::{COST, grows},
    },
    number::{detailed, signed},
};
use record::{HistoryRun, MetricComparison, ScenarioComparison};

/// What the calls of a metric cost; nothing for what counts no calls.
pub(super) fn median(runs: &[&HistoryRun], metric: &str, per_object: bool) -> Option<f64> {
    if !grows(metric) {
        return None;
    }
    let of_calls = cost_of(metric);
    let name = if is_cost_name(metric) {
        metric
    } else {
        &of_calls
    };
    stats::median(&values(runs, name, per_object))
}

/// Calls without a price.
pub(super) fn unpriced(runs: &[&HistoryRun]) -> Option<f64> {
    let costs = runs.iter().filter_map(|run| known(run));
    let calls: Vec<f64> = costs.map(|cost| cost.unpriced_calls as f64).collect();
    stats::median(&calls)
}

/// Whether a metric is what all calls cost.
pub(super) fn is_all(metric: &MetricComparison) -> bool {
    CostName::parse(&metric.metric) == Some(COST)
}

/// How large a difference is in tolls; less than any where no price tells it.
pub(super) fn unsigned(metric: &MetricComparison) -> f64 {
    metric.tolls().map_or(-1.0, f64::abs)
}

/// Whether any difference is known in tolls.
pub(super) fn are_known(scenario: &ScenarioComparison) -> bool {
    let mut metrics = scenario.metrics.iter();
    metrics.any(|metric| metric.tolls().is_some())
}

/// The cell of a metric.
pub(super) fn cell(metric: &MetricComparison) -> String {
    metric.tolls().map_or_else(String::new, signed)
}

/// A metric with its unit, where it is a cost.
pub(crate) fn named(metric: &str) -> String {
    if is_cost_name(metric) {
        format!("{metric} (tolls)")
    } else {
        metric.to_owned()
    }
}

/// How many calls are in no cost, if the groups differ in that.
pub(super) fn left_out(scenario: &ScenarioComparison) -> Option<String> {
    let (a, b) = (scenario.a_unpriced?, scenario.b_unpriced?);
    (a != b).then(|| {
        format!(
            "calls without a price are in no cost: {} in A and {} in B, in the median",
            detailed(a),
            detailed(b)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Group, HowToCompare, HowToJudge, Limit, Metrics, compare, compare_text, judge,
        standard_name,
    };
    use record::{Comparison, Kept, Origin, RunCost, label};

    /// A run with counts and what these cost, by KubeVirt's names.
    fn run(id: &str, objects: u64, list: &str, counts: &[(&str, f64, Option<f64>)]) -> HistoryRun {
        let costs = counts
            .iter()
            .filter_map(|(name, _, tolls)| Some(((*name).to_owned(), (*tolls)?)));
        let costs: std::collections::BTreeMap<String, f64> = costs.collect();
        let counts = counts.iter();
        HistoryRun {
            id: id.to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
            origin: Origin::Counted,
            valid: true,
            failure: None,
            labels: [(label::SCENARIO.to_owned(), "vmi".to_owned())].into(),
            objects: Some(objects),
            values: counts
                .map(|(name, count, _)| ((*name).to_owned(), *count))
                .collect(),
            components: [].into(),
            cost: Some(RunCost {
                list: list.to_owned(),
                tolls: costs.values().sum(),
                unpriced_calls: id.len() as u64,
                values: costs,
                components: [].into(),
            }),
            record: None,
        }
    }

    fn judged(a: HistoryRun, b: HistoryRun, limits: &[&str]) -> Comparison {
        let group = |name: &str, run| Group {
            name: name.to_owned(),
            runs: vec![run],
        };
        let (a, b) = (group("a", a), group("b", b));
        let limits: Vec<Limit> = limits.iter().map(|limit| limit.parse().unwrap()).collect();
        let names = limits.iter().filter_map(Limit::metric).map(str::to_owned);
        let how = HowToCompare {
            alpha: 0.01,
            of_components: false,
            mix_origins: false,
        };
        let mut found = compare(&a, &b, &Metrics::all_and(names), &how).unwrap();
        let how = HowToJudge {
            limits: &limits,
            rate: 0.05,
            bootstrap: false,
        };
        judge(&mut found, &a, &b, &how);
        found
    }

    fn two() -> (HistoryRun, HistoryRun) {
        let a = [
            ("GET-pods-count", 10.0, Some(12.0)),
            ("PATCH-pods-count", 200.0, Some(600.0)),
            ("WATCH-pods-count", 4.0, None),
            ("vmiCreationToRunningSecondsP50", 1.0, None),
        ];
        let b = [
            ("GET-pods-count", 20.0, Some(24.0)),
            ("PATCH-pods-count", 210.0, Some(640.0)),
            ("WATCH-pods-count", 9.0, None),
            ("vmiCreationToRunningSecondsP50", 5.0, None),
        ];
        let list = standard_name();
        (run("one", 100, list, &a), run("other", 100, list, &b))
    }

    #[test]
    fn the_cost_comes_first_and_then_what_costs_most() {
        let (a, b) = two();
        let limits = [
            "cost>8%",
            "cost>650",
            "cost:PATCH-pods-count>5%",
            "cost-per-object>6.64",
            "cost:GET-podz-count>1",
        ];
        let found = judged(a, b, &limits);
        insta::assert_snapshot!(compare_text::text(&found, false), @r"
        A  a: 1 run, counted (one)
        B  b: 1 run, counted (other)

        vmi, 1 against 1; 100 objects each
          METRIC                             A     B  DIFFERENCE              PER OBJECT  TOLLS  VERDICT
          cost (tolls)                     612   664         +52    +8.5 %  6.12 -> 6.64    +52  unknown: 1 against 1 runs can't give p < 0.01
          cost:PATCH-pods-count (tolls)    600   640         +40    +6.7 %     6 -> 6.40    +40  unknown: 1 against 1 runs can't give p < 0.01
          PATCH-pods-count                 200   210         +10    +5.0 %     2 -> 2.10    +40  unknown: 1 against 1 runs can't give p < 0.01
          GET-pods-count                    10    20         +10  +100.0 %    0.1 -> 0.2    +12  unknown: 1 against 1 runs can't give p < 0.01
          vmiCreationToRunningSecondsP50     1     5          +4  +400.0 %                       unknown: 1 against 1 runs can't give p < 0.01
          WATCH-pods-count                   4     9          +5  +125.0 %  0.04 -> 0.09         unknown: 1 against 1 runs can't give p < 0.01
          cost-per-object (tolls)         6.12  6.64       +0.52    +8.5 %                       unknown: 1 against 1 runs can't give p < 0.01
          calls without a price are in no cost: 3 in A and 5 in B, in the median
          0 metrics are equal in all runs, 0 differ by no more than chance explains

        Limits
          EXCEEDED  vmi: cost>8%: 8.50 %, allowed at most 8 %
          EXCEEDED  vmi: cost>650: 664, allowed at most 650 tolls
          EXCEEDED  vmi: cost:PATCH-pods-count>5%: 6.67 %, allowed at most 5 %
          ok        vmi: cost-per-object>6.64: 6.64, allowed at most 6.64 tolls
          MISSING   vmi: cost:GET-podz-count>1: not known (did you mean cost:GET-pods-count or cost:PATCH-pods-count or cost?), allowed at most 1 tolls
        ");
        assert_eq!(found.exit_code, 4);
        let markdown = compare_text::markdown(&found, false);
        let lines: Vec<&str> = markdown.lines().collect();
        for line in [
            "| metric | A | B | difference | | per object | tolls | verdict |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
            "| cost (tolls) | 612 | 664 | +52 | +8.5 % | 6.12 -> 6.64 | +52 | unknown: 1 against 1 \
             runs can't give p \\< 0.01 |",
            "**vmi, 1 against 1; 100 objects each**",
        ] {
            assert!(lines.contains(&line), "{markdown}");
        }
    }

    #[test]
    fn runs_of_other_sizes_are_compared_by_what_one_object_costs() {
        let (a, mut b) = two();
        b.objects = Some(50);
        let found = judged(a, b, &["cost>100%"]);
        let cost = &found.scenarios[0].metrics;
        let cost = cost.iter().find(|metric| is_all(metric)).unwrap();
        assert_eq!((cost.a.median, cost.b.median), (Some(6.12), Some(13.28)));
        assert_eq!(cost.b.per_object, Some(13.28));
        assert_eq!(found.limits[0].kept, Kept::No);
    }

    #[test]
    fn costs_by_different_lists_are_not_compared_and_the_limit_says_why() {
        let (mut a, b) = two();
        let own = a.cost.as_mut().unwrap();
        own.list = "Kubernetes v1.20.0, measured 2020-01-01T00:00:00Z".to_owned();
        let found = judged(a, b.clone(), &["cost>5%"]);
        let text = compare_text::text(&found, false);
        let line = "  MISSING   vmi: cost>5%: not known (one was priced by another list, that of \
                    Kubernetes v1.20.0, measured 2020-01-01T00:00:00Z, and is here without its \
                    record), allowed at most 5 %";
        assert!(text.lines().any(|one| one == line), "{text}");
        assert!(text.contains("not known in A"), "{text}");
        assert!(!text.contains("TOLLS"), "{text}");

        let mut imported = b.clone();
        (imported.cost, imported.origin) = (None, Origin::Audit);
        let found = judged(b, imported, &["cost>5%"]);
        assert_eq!((found.limits[0].kept, found.exit_code), (Kept::Unknown, 4));
        assert_eq!(
            found.limits[0].meant,
            "other was imported, and only runs that Kubetoll made have a cost"
        );
    }
}
