//! What a run's calls cost by the list that Kubetoll comes with, whatever list it is printed with: so
//! runs can be compared.

use std::{collections::BTreeMap, sync::LazyLock};

use classify::kubevirt::is_kubevirt_component;
use prices::charge;
use record::{CallFinding, PriceList, ResultRow, RunCost, component_metric};

use crate::budgets::row_name::COUNT;

/// Which list that is; empty if it can't be read: it is compiled in, and a test reads it.
pub fn standard_name() -> &'static str {
    static NAME: LazyLock<String> =
        LazyLock::new(|| prices::standard().map_or_else(|_| String::new(), PriceList::name));
    &NAME
}

/// Rows with what they cost by that list.
pub(crate) fn priced(rows: &[ResultRow], findings: Option<&[CallFinding]>) -> Vec<ResultRow> {
    let mut rows = rows.to_vec();
    match prices::standard() {
        Ok(list) => charge(&mut rows, findings.unwrap_or_default(), list),
        Err(_) => rows.iter_mut().for_each(|row| row.cost_tolls = None),
    }
    rows
}

/// What all calls of priced rows cost, and those of each metric; nothing where none has a price.
pub(crate) fn run_cost(priced: &[ResultRow]) -> Option<RunCost> {
    let mut cost = RunCost {
        list: standard_name().to_owned(),
        ..RunCost::default()
    };
    let mut is_known = false;
    for row in priced {
        let Some(tolls) = row.cost_tolls else {
            cost.unpriced_calls += row.count;
            continue;
        };
        is_known = true;
        cost.tolls += tolls;
        let call = &row.call;
        let metric = component_metric(&call.verb, &call.resource, &call.subresource, &call.path);
        let component = cost.components.entry(row.component.clone()).or_default();
        add(component, metric, tolls);
        if is_kubevirt_component(&row.component) {
            add(&mut cost.values, format!("{}{COUNT}", call.key()), tolls);
        }
    }
    is_known.then_some(cost)
}

fn add(costs: &mut BTreeMap<String, f64>, metric: String, tolls: f64) {
    *costs.entry(metric).or_default() += tolls;
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{CallRecord, Outcome, Share};

    fn row(component: &str, verb: &str, subresource: &str, tolls: Option<f64>) -> ResultRow {
        ResultRow {
            share: Share::Workload,
            component: component.to_owned(),
            call: CallRecord {
                verb: verb.to_owned(),
                resource: "pods".to_owned(),
                subresource: subresource.to_owned(),
                kubevirt_verb: verb.to_uppercase(),
                kubevirt_resource: "pods".to_owned(),
                ..CallRecord::default()
            },
            outcome: Outcome::Code(200),
            count: 10,
            per_object: 0.0,
            wasted: false,
            assumed: false,
            took: None,
            cost_cpu_us: None,
            cost_tolls: tolls,
        }
    }

    #[test]
    fn a_runs_cost_is_the_sum_of_its_rows_and_each_metric_has_its_own() {
        let cost = run_cost(&[
            row("virt-controller", "patch", "", Some(20.0)),
            row("virt-controller", "patch", "status", Some(12.5)),
            row("kubelet", "patch", "status", Some(3.0)),
            row("kubelet", "watch", "", None),
        ]);
        let cost = cost.unwrap();
        assert_eq!((cost.tolls, cost.unpriced_calls), (35.5, 10));
        assert_eq!(cost.values, [("PATCH-pods-count".to_owned(), 32.5)].into());
        assert_eq!(
            cost.components["virt-controller"]["PATCH-pods/status-count"],
            12.5
        );
        assert_eq!(cost.components["kubelet"].len(), 1);
        assert!(cost.list.starts_with("Kubernetes v1."), "{}", cost.list);
        assert_eq!(run_cost(&[row("kubelet", "watch", "", None)]), None);
    }

    #[test]
    fn a_run_is_priced_by_the_list_that_kubetoll_comes_with() {
        let rows = priced(&[row("kubelet", "get", "", Some(1e9))], None);
        let tolls = rows[0].cost_tolls.unwrap();
        assert!((5.0..50.0).contains(&tolls), "{tolls}");
    }
}
