//! Budgets of a scenario: what each component may call how often per object.
//!
//! What counts is what names the run's namespace: leases, watches and other namespaces' calls come
//! whether or not anything runs, so that their number says how long a run took. Where a run has no
//! namespace, everything but leases and watches counts.

use crate::{
    budgets::row_name::row_name,
    history::text::including,
    number::detailed,
    text::{align_right, table},
};
use record::{BudgetReport, BudgetRow, RunResult, ScenarioBudget, Share};

/// Budgets have two decimals; a call more in 100 objects is told.
const DECIMALS: f64 = 100.0;
/// What two decimals lose of a third or of a sum.
const EPSILON: f64 = 1e-9;

/// What runs of one scenario spend per object, rounded up to two decimals; of several runs, the
/// most that one of them spends on a row.
pub fn spent<'r>(results: impl IntoIterator<Item = &'r RunResult>) -> ScenarioBudget {
    let mut most = ScenarioBudget::new();
    for result in results {
        let mut own = ScenarioBudget::new();
        let objects = result.count.max(1) as f64;
        for row in result.rows.iter().filter(|row| counts(row.share, result)) {
            let budgets = own.entry(row.component.clone()).or_default();
            *budgets.entry(row_name(row)).or_default() += row.count as f64 / objects;
        }
        for (component, rows) in own {
            let budgets = most.entry(component).or_default();
            for (row, found) in rows {
                let rounded = (found * DECIMALS - EPSILON).ceil() / DECIMALS;
                let budget = budgets.entry(row).or_default();
                *budget = budget.max(rounded);
            }
        }
    }
    most
}

fn counts(share: Share, result: &RunResult) -> bool {
    match share {
        Share::Workload => true,
        Share::Standing => false,
        Share::Unattributed => result.cluster.namespace.is_empty(),
    }
}

/// What was spent against what is allowed: all rows that were spent on.
pub fn check_budget(
    scenario: &str,
    spent: &ScenarioBudget,
    allowed: &ScenarioBudget,
) -> Vec<BudgetRow> {
    let rows = spent.iter().flat_map(|(component, rows)| {
        rows.iter()
            .map(move |(row, found)| (component, row, *found))
    });
    let check = |(component, row, found): (&String, &String, f64)| {
        let allowed = allowed.get(component).and_then(|rows| rows.get(row));
        let allowed = allowed.copied();
        BudgetRow {
            scenario: scenario.to_owned(),
            component: component.clone(),
            row: row.clone(),
            allowed,
            found,
            kept: found <= allowed.unwrap_or_default() + EPSILON,
        }
    };
    rows.map(check).collect()
}

/// The report as text: the rows that are over, and how many are kept.
pub fn budget_text(report: &BudgetReport) -> String {
    let mut text = String::new();
    let over: Vec<&BudgetRow> = report.rows.iter().filter(|row| !row.kept).collect();
    if !over.is_empty() {
        let mut table = table(&["SCENARIO", "COMPONENT", "ROW", "PER OBJECT", "BUDGET"]);
        for row in &over {
            table.add_row([
                row.scenario.clone(),
                row.component.clone(),
                row.row.clone(),
                detailed(row.found),
                row.allowed.map_or_else(|| "none".to_owned(), detailed),
            ]);
        }
        align_right(&mut table, &[3, 4]);
        table.put(&mut text, "");
    }
    let kept = report.rows.len() - over.len();
    put_line!(text, "{kept} budgets kept, {} exceeded", over.len());
    if let Some(including) = including(report.not_valid) {
        put_line!(text, "{including}");
    } else if !report.valid {
        text.push_str("THE COUNTS ARE NOT VALID\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{CallRecord, Outcome, ResultRow};

    fn row(share: Share, component: &str, verb: &str, code: u16, count: u64) -> ResultRow {
        ResultRow {
            share,
            component: component.to_owned(),
            call: CallRecord {
                verb: verb.to_owned(),
                resource: "pods".to_owned(),
                ..CallRecord::default()
            },
            outcome: Outcome::Code(code),
            count,
            per_object: 0.0,
            wasted: false,
            assumed: false,
            took: None,
            cost_cpu_us: None,
            cost_tolls: None,
        }
    }

    fn result(rows: Vec<ResultRow>) -> RunResult {
        let text = r#"{"id": "r", "scenario": "vmi", "simulated": false, "count": 100,
            "cluster": {"server": "", "context": "", "namespace": "n", "kubernetes_version": "",
            "kubevirt_version": ""}, "valid": true, "checks": [], "proxies": [], "rows": [],
            "values": {}, "latency": {"by_status": null, "by_driver": null}, "driver": [],
            "thresholds": [], "exit_code": 0}"#;
        let empty: RunResult = serde_json::from_str(text).unwrap();
        RunResult { rows, ..empty }
    }

    #[test]
    fn a_budget_is_the_workloads_calls_of_all_codes_per_object() {
        let rows = vec![
            row(Share::Workload, "a", "patch", 200, 100),
            row(Share::Workload, "a", "patch", 409, 1),
            row(Share::Standing, "a", "update", 200, 50),
            row(Share::Unattributed, "b", "get", 200, 7),
        ];
        let first = result(rows);
        let mut second = result(vec![row(Share::Workload, "a", "patch", 200, 100)]);
        second.count = 30;
        let found = spent([&first, &second]);
        assert_eq!(found.len(), 1);
        assert_eq!(found["a"]["PATCH-pods"], 3.34);
        let found = spent([&first]);
        assert_eq!(found["a"]["PATCH-pods"], 1.01);
        let mut without_namespace = first;
        without_namespace.cluster.namespace.clear();
        assert_eq!(spent([&without_namespace])["b"]["GET-pods"], 0.07);
    }

    #[test]
    fn a_row_without_a_budget_has_none_to_spend() {
        let first = result(vec![
            row(Share::Workload, "a", "patch", 200, 101),
            row(Share::Workload, "a", "get", 200, 1),
        ]);
        let spent_now = spent([&first]);
        let mut allowed = spent_now.clone();
        let kept = |allowed: &ScenarioBudget| -> Vec<bool> {
            let rows = check_budget("vmi", &spent_now, allowed);
            rows.iter().map(|row| row.kept).collect()
        };
        assert_eq!(kept(&allowed), [true, true]);
        allowed.get_mut("a").unwrap().remove("GET-pods");
        assert_eq!(kept(&allowed), [false, true]);
        allowed
            .get_mut("a")
            .unwrap()
            .insert("PATCH-pods".to_owned(), 1.0);
        assert_eq!(kept(&allowed), [false, false]);
        assert_eq!(kept(&ScenarioBudget::new()), [false, false]);
    }
}
