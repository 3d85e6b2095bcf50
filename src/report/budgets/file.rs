//! Budgets of a scenario: what each component may call how often per object, and what that may cost.
//!
//! What counts is what names the run's namespace: leases, watches and other namespaces' calls come
//! whether or not anything runs, so that their number says how long a run took. Where a run has no
//! namespace, everything but leases and watches counts.

use crate::{
    budgets::{
        cost_name::{CostName, cost_of, is_cost_name, unit_after},
        row_name::row_name,
    },
    history::text::including,
    number::detailed,
    text::{align_right, table},
};
use record::{BudgetReport, BudgetRow, RunResult, ScenarioBudget, Share, number_of};

/// Budgets have two decimals; a call more in 100 objects is told.
const DECIMALS: f64 = 100.0;
/// What two decimals lose of a third or of a sum.
const EPSILON: f64 = 1e-9;

/// The cost of all of a component's calls.
const COST: &str = "cost";

/// What runs of one scenario spend per object, rounded up to two decimals; of several runs, the
/// most that one of them spends on a row. Rows that were charged have their cost beside them.
pub fn spent<'r>(results: impl IntoIterator<Item = &'r RunResult>) -> ScenarioBudget {
    let mut most = ScenarioBudget::new();
    for result in results {
        let mut own = ScenarioBudget::new();
        let objects = result.count.max(1) as f64;
        for row in result.rows.iter().filter(|row| counts(row.share, result)) {
            let budgets = own.entry(row.component.clone()).or_default();
            let name = row_name(row);
            if let Some(tolls) = row.cost_tolls {
                for cost in [COST.to_owned(), cost_of(&name)] {
                    *budgets.entry(cost).or_default() += tolls / objects;
                }
            }
            *budgets.entry(name).or_default() += row.count as f64 / objects;
        }
        for (component, rows) in own {
            let budgets = most.entry(component).or_default();
            for (row, found) in rows {
                let budget = budgets.entry(row).or_default();
                *budget = budget.max(rounded_up(found));
            }
        }
    }
    most
}

fn rounded_up(value: f64) -> f64 {
    (value * DECIMALS - EPSILON).ceil() / DECIMALS
}

/// What is to be written in place of what is allowed: how often each row was called; and costs. With
/// a margin in percent those are that much above what was spent, of all of a component's calls and of
/// the rows that have one already. Without it they stay as they are: sizes differ from run to run, so
/// that what one run took is no limit.
pub fn renewed(
    spent: &ScenarioBudget,
    allowed: Option<&ScenarioBudget>,
    margin: Option<f64>,
) -> ScenarioBudget {
    let mut new = spent.clone();
    for (component, rows) in &mut new {
        let old = allowed.and_then(|allowed| allowed.get(component));
        let is_old = |row: &str| old.is_some_and(|old| old.contains_key(row));
        rows.retain(|row, _| {
            !is_cost_name(row) || (margin.is_some() && (row == COST || is_old(row)))
        });
        for (_, cost) in rows.iter_mut().filter(|(row, _)| is_cost_name(row)) {
            *cost = rounded_up(*cost * (1.0 + margin.unwrap_or_default() / 100.0));
        }
        let kept = old.into_iter().flatten();
        let kept = kept.filter(|(row, _)| is_cost_name(row) && margin.is_none());
        rows.extend(kept.map(|(row, cost)| (row.clone(), *cost)));
    }
    new
}

/// Costs that are allowed and can't be judged, as `COMPONENT ROW`: such calls were made, and none has
/// a price.
pub fn unpriced(spent: &ScenarioBudget, allowed: &ScenarioBudget) -> Vec<String> {
    let mut found = Vec::new();
    for (component, rows) in allowed {
        let Some(spent) = spent.get(component) else {
            continue;
        };
        let without = rows.keys().filter(|row| {
            let calls = CostName::parse(row).map(|cost| cost.of);
            let is_made = |calls: Option<&str>| calls.is_none_or(|calls| spent.contains_key(calls));
            calls.is_some_and(is_made) && !spent.contains_key(*row)
        });
        found.extend(without.map(|row| format!("{component} {row}")));
    }
    found
}

fn counts(share: Share, result: &RunResult) -> bool {
    match share {
        Share::Workload => true,
        Share::Standing => false,
        Share::Unattributed => result.cluster.namespace.is_empty(),
    }
}

/// What was spent against what is allowed: all rows that were spent on, and costs that are allowed.
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
    let is_asked = |row: &BudgetRow| row.allowed.is_some() || !is_cost_name(&row.row);
    rows.map(check).filter(is_asked).collect()
}

/// The report as text: the rows that are over, and how many are kept.
pub fn budget_text(report: &BudgetReport) -> String {
    let mut text = String::new();
    let over: Vec<&BudgetRow> = report.rows.iter().filter(|row| !row.kept).collect();
    if !over.is_empty() {
        let mut table = table(&["SCENARIO", "COMPONENT", "ROW", "PER OBJECT", "BUDGET"]);
        for row in &over {
            let unit = unit_after(&row.row);
            let value = |value: f64| format!("{}{unit}", detailed(value));
            table.add_row([
                row.scenario.clone(),
                row.component.clone(),
                row.row.clone(),
                value(row.found),
                row.allowed.map_or_else(|| "none".to_owned(), value),
            ]);
        }
        align_right(&mut table, &[3, 4]);
        table.put(&mut text, "");
    }
    let kept = report.rows.len() - over.len();
    let kept = number_of(kept as u64, "budget");
    let runs = report.runs.join(", ");
    put_line!(text, "{kept} kept, {} exceeded, of {runs}", over.len());
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
    fn a_cost_is_judged_where_it_is_allowed_and_written_with_a_margin() {
        let priced = |tolls: Option<f64>, row: ResultRow| ResultRow {
            cost_tolls: tolls,
            ..row
        };
        let run = result(vec![
            priced(Some(300.0), row(Share::Workload, "a", "patch", 200, 100)),
            priced(Some(50.0), row(Share::Workload, "a", "get", 200, 40)),
            priced(Some(900.0), row(Share::Standing, "a", "get", 200, 90)),
            row(Share::Workload, "a", "watch", 200, 1),
        ]);
        let spent = spent([&run]);
        assert_eq!(spent["a"]["cost"], 3.5);
        assert_eq!(spent["a"]["cost:PATCH-pods"], 3.0);
        let plain = renewed(&spent, None, None);
        assert_eq!(
            plain["a"].keys().collect::<Vec<_>>(),
            ["GET-pods", "PATCH-pods", "WATCH-pods"]
        );
        assert_eq!(check_budget("vmi", &spent, &plain).len(), 3);

        let mut allowed = renewed(&spent, Some(&plain), Some(10.0));
        assert_eq!((allowed["a"].len(), allowed["a"]["cost"]), (4, 3.85));
        let own = allowed.get_mut("a").unwrap();
        own.insert("cost:PATCH-pods".to_owned(), 2.9);
        let rows = check_budget("vmi", &spent, &allowed);
        let over: Vec<_> = rows.iter().filter(|row| !row.kept).collect();
        assert_eq!((rows.len(), over.len()), (5, 1));
        assert_eq!((&*over[0].row, over[0].found), ("cost:PATCH-pods", 3.0));
        assert_eq!(renewed(&spent, Some(&allowed), None)["a"], allowed["a"]);
        let again = renewed(&spent, Some(&allowed), Some(0.0));
        assert_eq!(
            (again["a"]["cost"], again["a"]["cost:PATCH-pods"]),
            (3.5, 3.0)
        );

        let report = BudgetReport {
            valid: true,
            rows,
            ..BudgetReport::default()
        };
        let text = budget_text(&report);
        let line = "vmi       a          cost:PATCH-pods     3 tolls  2.90 tolls";
        assert!(text.lines().any(|one| one == line), "{text}");

        assert_eq!(unpriced(&spent, &allowed), [""; 0]);
        let own = allowed.get_mut("a").unwrap();
        own.insert("cost:WATCH-pods".to_owned(), 1.0);
        own.insert("cost:LIST-pods".to_owned(), 1.0);
        assert_eq!(unpriced(&spent, &allowed), ["a cost:WATCH-pods"]);
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
