//! What runs cost, kept and judged: `compare`, `run`, `changes`, `graph` and `budget` in tolls.

use std::{fs, path::Path};

use record::{BudgetReport, Comparison, HistoryLine, HistoryRun, Kept, RunCost, RunResult};
use store::{Appended, Location, Store, StoreError};

use crate::support::{
    in_folder::{code, json, kubetoll, run, said, text},
    lines::assert_line,
};

/// The runs of the history, oldest first.
fn kept(dir: &Path) -> Vec<HistoryRun> {
    let out = dir.join("exported");
    let out = out.to_str().unwrap();
    assert_eq!(
        code(&kubetoll(dir, &["export", "json", "--out", out])),
        Some(0)
    );
    let lines = fs::read_to_string(dir.join("exported/runs.jsonl")).unwrap();
    let lines = lines.lines().map(serde_json::from_str::<HistoryLine>);
    lines.map(|line| line.unwrap().run).collect()
}

#[test]
fn a_run_is_kept_with_its_cost_and_compared_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let printed = run(dir, "a", "4", &["--prices", "default", "--output", "json"]);
    assert_eq!(code(&printed), Some(0));
    assert_eq!(code(&run(dir, "b", "8", &[])), Some(0));
    let result: RunResult = json(&printed);
    let bill = result.bill.unwrap();
    let runs = kept(dir);
    let cost = runs[0].cost.as_ref().unwrap();
    // The same as the bill has it, by the same list.
    let billed = bill.parts.calls * 1e6 / bill.prices.toll_us;
    assert!(
        (cost.tolls - billed).abs() < 1e-6,
        "{} {billed}",
        cost.tolls
    );
    assert_eq!(cost.unpriced_calls, bill.unpriced_calls);
    assert_eq!(cost.list, prices::standard().unwrap().name());
    assert_compared(dir, cost.tolls);
}

/// The cost is compared per object where the runs are of different sizes.
fn assert_compared(dir: &Path, tolls: f64) {
    let (a, b) = ("a/record.json", "b/record.json");
    let compare = |more: &[&str]| kubetoll(dir, &[&["compare", a, b], more].concat());
    let found: Comparison = json(&compare(&["--output", "json", "--fail-on", "cost>1000%"]));
    let scenario = &found.scenarios[0];
    let metrics = scenario.metrics.iter();
    let all = metrics
        .clone()
        .find(|metric| metric.metric == "cost")
        .unwrap();
    assert!(scenario.per_object && all.a.tolls == Some(tolls / 4.0));
    assert_eq!(
        (all.a.tolls, all.a.per_object),
        (all.a.median, all.a.median)
    );
    let pods = metrics
        .clone()
        .find(|metric| metric.metric == "CREATE-pods-count");
    let pods = pods.unwrap();
    // A create of a pod costs more than two gets of a Lease.
    assert!(
        pods.a.tolls > Some(2.0) && pods.tolls().is_some(),
        "{pods:?}"
    );
    let found = found.limits[0].clone();
    assert_eq!((&*found.metric, found.kept), ("cost", Kept::Yes));
}

#[test]
fn a_limit_or_a_graph_may_be_of_a_cost() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assert_eq!(code(&run(dir, "a", "2", &[])), Some(0));
    assert_eq!(code(&run(dir, "b", "2", &[])), Some(0));
    let (a, b) = ("a/record.json", "b/record.json");
    let compare = |more: &[&str]| kubetoll(dir, &[&["compare", a, b], more].concat());
    let shown = text(&compare(&[]));
    let first = shown.lines().skip_while(|line| !line.contains("TOLLS"));
    let first: Vec<&str> = first.take(2).collect();
    assert!(first[1].starts_with("  cost (tolls)  "), "{shown}");
    for (limit, wanted) in [
        ("cost>1000%", Some(0)),
        ("cost<=1000%", Some(3)),
        ("cost-per-object>1", Some(3)),
        ("cost:CREATE-pods>1000", Some(0)),
        ("cost:virt-controller:CREATE-pods>1", Some(3)),
        ("cost:CREATE-podz>5%", Some(4)),
    ] {
        assert_eq!(code(&compare(&["--fail-on", limit])), wanted, "{limit}");
    }
    assert_line(
        &text(&compare(&["--fail-on", "cost:CREATE-podz>5%"])),
        "  MISSING   vmi: cost:CREATE-podz>5%: not known (did you mean cost:CREATE-pods or \
         cost:CREATE-pods-count or cost:CREATE-pods/binding?), allowed at most 5 %",
    );
    // Beside the run before it: nothing that it has is missing there.
    let report = text(&kubetoll(dir, &["report", b, "--form", "md", "--out", "-"]));
    let (_, beside) = report.split_once("### Beside the last runs\n").unwrap();
    let rows: Vec<&str> = beside
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    assert!(rows[2].starts_with("| cost (tolls) | "), "{report}");
    assert!(rows[2].split(" | ").nth(1).unwrap().parse::<f64>().unwrap() > 2.0);
    assert!(
        rows.iter().any(|row| row.starts_with("| why:conflict | ")),
        "{report}"
    );
    assert!(!beside.contains("missing"), "{report}");
    let junit = text(&compare(&["--fail-on", "cost<=1000%", "--output", "junit"]));
    assert_line(
        &junit,
        "<testsuites name=\"kubetoll compare\" tests=\"1\" skipped=\"0\" failures=\"1\" errors=\"0\">",
    );
    assert_line(
        &text(&kubetoll(dir, &["changes", "--metric", "cost"])),
        "0 changes",
    );
    let graph = [
        "graph",
        "--metric",
        "cost",
        "--metric",
        "cost-per-object",
        "--out",
        "graphs",
    ];
    assert_eq!(code(&kubetoll(dir, &graph)), Some(0));
    let svg = fs::read_to_string(dir.join("graphs/test/vmi/cost.svg")).unwrap();
    assert!(svg.contains("tolls per run."), "{svg}");
}

/// Makes the history anew without a field of its runs, as an older Kubetoll kept them.
fn without(dir: &Path, field: &str) {
    let moved = dir.join("moved.jsonl");
    let path = moved.to_str().unwrap();
    fs::remove_file(&moved).ok();
    let export = ["runs", "export", "--out", path];
    assert_eq!(code(&kubetoll(dir, &export)), Some(0));
    let lines = fs::read_to_string(&moved).unwrap();
    let older = lines.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line.as_object_mut().unwrap().remove(field).is_some());
        format!("{line}\n")
    });
    fs::write(&moved, older.collect::<String>()).unwrap();
    fs::remove_file(dir.join("history.db")).unwrap();
    assert_eq!(code(&kubetoll(dir, &["runs", "import", path])), Some(0));
}

#[test]
fn a_run_of_an_older_kubetoll_is_priced_from_its_record_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assert_eq!(code(&run(dir, "a", "3", &[])), Some(0));
    without(dir, "cost");
    let limit = ["--fail-on", "cost>90%", "--no-store"];
    assert_eq!(code(&run(dir, "b", "3", &limit)), Some(0));
    let id = kept(dir).remove(0).id;
    let compare =
        |limit: &str| kubetoll(dir, &["compare", &id, "b/record.json", "--fail-on", limit]);
    assert_eq!(code(&compare("cost>90%")), Some(0));
    assert_eq!(code(&compare("cost<=90%")), Some(3));

    without(dir, "record");
    let missing = compare("cost>5%");
    assert_eq!(code(&missing), Some(4));
    assert_line(
        &text(&missing),
        &format!(
            "  MISSING   vmi: cost>5%: not known ({id} was kept by a Kubetoll that priced nothing, \
             and is here without its record, or none of its calls has a price), allowed at most 5 %"
        ),
    );
    let changes = kubetoll(dir, &["changes", "--metric", "cost"]);
    assert_eq!(code(&changes), Some(1));
    assert_line(
        &said(&changes),
        &format!(
            "kubetoll: no run has the metric cost: {id} was kept by a Kubetoll that priced nothing, \
             and is here without its record, or none of its calls has a price"
        ),
    );
}

#[test]
fn a_run_that_is_priced_by_another_list_is_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assert_eq!(code(&run(dir, "a", "2", &[])), Some(0));
    let mut store = Store::open(&Location::Sqlite(dir.join("history.db"))).unwrap();
    let id = kept(dir).remove(0).id;
    let first = store.run(&id).unwrap().unwrap();
    let priced = |change: &dyn Fn(&mut RunCost)| {
        let mut run = first.clone();
        run.cost.as_mut().map(change);
        run
    };
    let other = priced(&|cost| {
        cost.list = "another list".to_owned();
        cost.tolls += 1.0;
    });
    assert_eq!(store.append(&other).unwrap(), Appended::Known);
    let without = HistoryRun {
        cost: None,
        ..first.clone()
    };
    assert_eq!(store.append(&without).unwrap(), Appended::Known);
    for bad in [
        priced(&|cost| cost.list = "a\nb".to_owned()),
        priced(&|cost| cost.tolls = f64::NAN),
        priced(&|cost| {
            cost.values.insert(String::new(), 1.0);
        }),
    ] {
        let refused = store.append(&bad);
        assert!(matches!(refused, Err(StoreError::Unstorable { .. })));
    }
    assert_eq!(store.run(&id).unwrap().unwrap(), first);
}

#[test]
fn a_run_is_judged_by_budgets_in_tolls() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let budgets = [
        "--budget",
        "cost-per-object<=1000",
        "--budget",
        "cost:CREATE-pods<=1.5",
        "--budget",
        "cost:CREATE-podz<=1",
    ];
    let judged = run(dir, "a", "4", &budgets);
    assert_eq!(code(&judged), Some(4));
    let shown = text(&judged);
    assert_line(&shown, "  ok        cost-per-object<=1000: … tolls");
    assert_line(&shown, "  EXCEEDED  cost:CREATE-pods<=1.5: … tolls");
    assert_line(
        &shown,
        "  UNKNOWN   cost:CREATE-podz<=1: there is no such row (did you mean CREATE-pods or \
         CREATE-nodes or CREATE-pods-count?)",
    );
    let report = |more: &[&str]| {
        let form = ["report", "a/record.json", "--form", "json", "--out", "-"];
        kubetoll(dir, &[&form, more].concat())
    };
    let result: RunResult = json(&report(&budgets[..4]));
    let (all, pods) = (&result.budgets[0], &result.budgets[1]);
    let whole = kept(dir).remove(0).cost.unwrap();
    assert_eq!(all.tolls, Some(whole.tolls / 4.0));
    assert_eq!((pods.count, pods.kept), (4, Kept::No));
    assert_eq!(result.exit_code, 3);
    // A threshold may name it, too.
    for (most, wanted) in [(whole.tolls + 1.0, Some(0)), (whole.tolls - 1.0, Some(3))] {
        let expected = format!(r#"{{"thresholdExpectations": {{"cost": {{"value": {most}}}}}}}"#);
        fs::write(dir.join("thresholds.json"), expected).unwrap();
        let judged = report(&["--thresholds", "thresholds.json"]);
        assert_eq!(code(&judged), wanted, "{most}");
    }
    let refused = report(&["--budget", "cost=5"]);
    assert_eq!(code(&refused), Some(2));
}

#[test]
fn a_file_of_budgets_can_say_what_calls_may_cost() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assert_eq!(code(&run(dir, "a", "4", &[])), Some(0));
    let budget = |more: &[&str]| kubetoll(dir, &[&["budget", "a/record.json"], more].concat());
    let path = dir.join("kubetoll-budget.yaml");
    assert_eq!(code(&budget(&["--update"])), Some(0));
    let written = fs::read_to_string(&path).unwrap();
    assert!(!written.contains("cost:"), "{written}");
    assert_eq!(code(&budget(&["--update", "--cost-margin", "5"])), Some(0));
    let written = fs::read_to_string(&path).unwrap();
    let list = prices::standard().unwrap().name();
    assert_line(&written, &format!("prices: {list}"));
    assert_line(&written, "      cost: …");
    assert_eq!(code(&budget(&[])), Some(0));
    // What was written is kept.
    assert_eq!(code(&budget(&["--update"])), Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), written);

    let row = "      CREATE-pods: 1.0\n";
    let costly = format!("{row}      cost:CREATE-pods: 0.5\n");
    fs::write(&path, written.replacen(row, &costly, 1)).unwrap();
    let over = budget(&["--output", "json"]);
    assert_eq!(code(&over), Some(3));
    let report: BudgetReport = json(&over);
    let over: Vec<_> = report.rows.iter().filter(|row| !row.kept).collect();
    assert_eq!(
        (over.len(), &*over[0].row, over[0].allowed),
        (1, "cost:CREATE-pods", Some(0.5))
    );
    assert_line(
        &text(&budget(&[])),
        "vmi       virt-controller  cost:CREATE-pods  … tolls  0.5 tolls",
    );

    fs::write(&path, written.replace(&list, "another")).unwrap();
    let other = budget(&[]);
    assert_eq!(code(&other), Some(4));
    assert_line(
        &said(&other),
        &format!(
            "kubetoll: the costs in kubetoll-budget.yaml are by the list of another, and this \
             Kubetoll comes with that of {list}: write them anew with --update --cost-margin"
        ),
    );
}
