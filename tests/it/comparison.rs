//! `compare`, `changes` and `budget` as a user has them.

use std::{fs, path::Path};

use record::{BudgetReport, Change, ChangeKind, Comparison, Verdict};

use crate::support::{
    in_folder::{self, code, json, kubetoll, text},
    lines::assert_line,
};

/// A lab's run that ends well.
fn run(dir: &Path, name: &str, count: &str) {
    assert_eq!(code(&in_folder::run(dir, name, count, &[])), Some(0));
}

/// Runs as KubeVirt's CI publishes them, every 8 hours: PATCH-pods steps up by half, GET-nodes goes
/// missing.
fn publish(dir: &Path) {
    for at in 0..80 {
        let folder = dir.join(format!("results/ci/{}", 1000 + at));
        fs::create_dir_all(&folder).unwrap();
        let noise = 1.0 + f64::from(at * 7 % 11) / 100.0;
        let patched = if at < 40 { 200.0 } else { 300.0 } * noise;
        let got = if at < 50 {
            r#", "GET-nodes-count": {"value": 30}"#
        } else {
            ""
        };
        let (day, hour) = (1 + at / 3, at % 3 * 8);
        let results = format!(
            r#"{{"JobDirCreationTime": "2024-03-{day:02}T{hour:02}:00:00Z", "VMResult": null,
                "VMIResult": {{"Values": {{"PATCH-pods-count": {{"value": {patched}}}{got}}}}}}}"#
        );
        fs::write(folder.join("results.json"), results).unwrap();
    }
    let imported = kubetoll(dir, &["import", "kubevirt-ci", "."]);
    assert_eq!(code(&imported), Some(0));
}

#[test]
fn runs_are_compared_by_file_id_and_label_and_judged_by_limits() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, "a", "4");
    run(dir, "b", "4");
    run(dir, "c", "6");
    let compare =
        |a: &str, b: &str, more: &[&str]| kubetoll(dir, &[&["compare", a, b], more].concat());
    let (a, b, c) = ("a/record.json", "b/record.json", "c/record.json");
    let limit = |limit: &'static str| code(&compare(a, b, &["--fail-on", limit]));
    assert_eq!(limit("CREATE-pods>0%"), Some(0));
    assert_eq!(limit("CREATE-pods>3"), Some(3));
    assert_eq!(limit("virt-controller:CREATE-pods>=4"), Some(3));
    assert_eq!(limit("CREATE-nothing>5%"), Some(4));
    assert_eq!(limit("learned"), Some(4));
    assert_eq!(limit("CREATE-pods"), Some(2));

    let found: Comparison = json(&compare(a, c, &["--output", "json"]));
    assert!(found.scenarios[0].per_object);
    let metrics = &found.scenarios[0].metrics;
    let pods = metrics
        .iter()
        .find(|metric| metric.metric == "CREATE-pods-count")
        .unwrap();
    assert_eq!((pods.a.median, pods.verdict), (Some(1.0), Verdict::Equal));

    let newest = compare("job=test", "newest", &["--job", "test", "--output", "json"]);
    let newest: Comparison = json(&newest);
    assert_eq!((newest.a.runs.len(), newest.b.runs.len()), (2, 1));
    assert_line(
        &text(&compare(a, b, &["--output", "markdown"])),
        "### API calls",
    );
    let junit = text(&compare(
        a,
        b,
        &["--fail-on", "CREATE-pods>3", "--output", "junit"],
    ));
    assert_line(
        &junit,
        "<testsuites name=\"kubetoll compare\" tests=\"1\" skipped=\"0\" failures=\"1\" errors=\"0\">",
    );

    publish(dir);
    assert_eq!(code(&compare(a, "job=ci", &[])), Some(2));
    let mixed = compare(a, "job=ci", &["--mix-origins"]);
    assert_line(
        &text(&mixed),
        "NUMBERS OF DIFFERENT ORIGINS: estimates are up to a ninth above what they estimate, and \
         windows differ; the differences below are not changes of the software",
    );
    assert_eq!(code(&compare("job=nobody", a, &[])), Some(1));
}

/// What `kubetoll changes` finds.
fn changes(dir: &Path, more: &[&str]) -> Vec<Change> {
    let all = [&["changes", "--output", "json"], more].concat();
    json(&kubetoll(dir, &all))
}

#[test]
fn changes_are_found_and_acknowledged_once() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    publish(dir);
    let changes = |more: &[&str]| changes(dir, more);
    let found = changes(&[]);
    let kinds: Vec<_> = found.iter().map(|one| (&*one.metric, one.kind)).collect();
    let expected = [
        ("GET-nodes-count", ChangeKind::Missing),
        ("PATCH-pods-count", ChangeKind::Step),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(found[1].at.to_string(), "2024-03-14T08:00:00Z");
    assert_eq!(changes(&["--metric", "PATCH-pods-count"]).len(), 1);
    assert_eq!(changes(&["--metric", "*-pods-*"]).len(), 1);
    assert_eq!(code(&kubetoll(dir, &["changes", "--fail"])), Some(3));
    assert_eq!(
        code(&kubetoll(dir, &["changes", "--scenario", "vm"])),
        Some(1)
    );

    let id = &found[1].id;
    assert_eq!(code(&kubetoll(dir, &["changes", "ack", id])), Some(0));
    assert_eq!(code(&kubetoll(dir, &["changes", "ack", id])), Some(1));
    assert_eq!(changes(&[]).len(), 1);
    assert_eq!(changes(&["--acknowledged"]).len(), 2);
    assert_line(&text(&kubetoll(dir, &["changes", "ack", "--list"])), id);
    assert_eq!(
        code(&kubetoll(dir, &["changes", "ack", id, "--undo"])),
        Some(0)
    );
    assert_eq!(changes(&[]).len(), 2);
    for misspelt in [
        id.replace("2024", "2023"),
        id.replace("PATCH", "PITCH"),
        // There is a run at that time, and no change.
        id.replace("08:00:00", "16:00:00"),
    ] {
        let refused = kubetoll(dir, &["changes", "ack", &misspelt]);
        assert_eq!(code(&refused), Some(1), "{misspelt}");
    }
}

#[test]
fn changes_are_those_of_the_whole_history_whatever_is_shown_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    publish(dir);
    let changes = |more: &[&str]| changes(dir, more);
    let all = changes(&[]);
    // The runs since then alone are too few to find the step in.
    let since = changes(&["--since", "2024-03-14"]);
    assert_eq!(since, all);
    assert_eq!(changes(&["--since", "2024-03-15"]), all[..1]);
    assert_eq!(changes(&["--until", "2024-03-15"]), all[1..]);

    let shown = text(&kubetoll(dir, &["changes"]));
    let ids: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.contains('@'))
        .collect();
    assert_eq!(ids, [&*all[1].id, &*all[0].id], "{shown}");
    let acked = kubetoll(dir, &["changes", "ack", "--until", "2024-03-15"]);
    assert_eq!(
        String::from_utf8(acked.stderr).unwrap(),
        "1 change is not reported again\n"
    );
    assert_eq!(changes(&[]), all[..1]);
    assert_eq!(code(&kubetoll(dir, &["changes", "ack", ids[1]])), Some(0));
    assert_eq!(changes(&[]), []);
}

/// What a user types on a run of which `PATCH-pods` is `row` and `PATCH-pods-count` is `folded`.
#[test]
fn a_name_means_the_same_in_every_limit() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, "a", "4");
    run(dir, "b", "4");
    let (a, b) = ("a/record.json", "b/record.json");
    let report = |form: &str, more: &[&str]| {
        let form = ["report", b, "--form", form, "--out", "-"];
        kubetoll(dir, &[&form, more].concat())
    };
    let result: record::RunResult = json(&report("json", &[]));
    let own = result.rows.iter().filter(|row| {
        let call = &row.call;
        (&*call.verb, &*call.resource, &*call.subresource) == ("patch", "pods", "")
    });
    let row: u64 = own.map(|row| row.count).sum();
    let folded = result.values["PATCH-pods-count"];
    assert!(folded > row && row > 0, "{folded} {row}");
    for (name, count) in [("PATCH-pods", row), ("PATCH-pods-count", folded)] {
        for (most, wanted) in [(count, Some(0)), (count - 1, Some(3))] {
            let budget = format!("{name}<={most}");
            let judged = report("xml", &["--budget", &budget]);
            assert_eq!(code(&judged), wanted, "{budget}");
            let expected =
                format!(r#"{{"thresholdExpectations": {{"{name}": {{"value": {most}}}}}}}"#);
            fs::write(dir.join("thresholds.json"), expected).unwrap();
            let judged = report("xml", &["--thresholds", "thresholds.json"]);
            assert_eq!(code(&judged), wanted, "threshold {budget}");
            let limit = format!("{name}>{most}");
            let compare = ["compare", a, b, "--fail-on", &limit];
            assert_eq!(code(&kubetoll(dir, &compare)), wanted, "{limit}");
        }
    }
    // Both are shown where one was named.
    let compare = [
        "compare",
        a,
        b,
        "--metric",
        "PATCH-pods",
        "--output",
        "json",
    ];
    let found: Comparison = json(&kubetoll(dir, &compare));
    let shown = found.scenarios[0].metrics.iter();
    let shown: Vec<_> = shown.map(|one| (&*one.metric, one.b.median)).collect();
    assert_eq!(
        shown,
        [
            ("PATCH-pods", Some(row as f64)),
            ("PATCH-pods-count", Some(folded as f64))
        ]
    );
    let report = report("md", &["--budget", "PATCH-pods<=999"]);
    let line = format!(
        "| ok | budget PATCH-pods&lt;=999 | {row} counted (PATCH-pods-count is {folded}) |"
    );
    assert!(
        text(&report).lines().any(|one| one == line),
        "{}",
        text(&report)
    );
}

#[test]
fn a_name_that_nothing_has_is_refused_with_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, "a", "2");
    run(dir, "b", "2");
    let (a, b) = ("a/record.json", "b/record.json");
    let refused = |arguments: &[&str], wanted: i32| {
        let output = kubetoll(dir, arguments);
        assert_eq!(code(&output), Some(wanted), "{arguments:?}");
        text(&output) + &String::from_utf8(output.stderr).unwrap()
    };
    let meant = "kubetoll: no run has the metric CREATE-podz: did you mean CREATE-pods or \
                 CREATE-pods-count or CREATE-pods/binding?";
    for command in [
        &["changes"][..],
        &["compare", a, b],
        &["graph", "--out", "graphs"],
        &["docs", "--out", "docs"],
    ] {
        let said = refused(&[command, &["--metric", "CREATE-podz"]].concat(), 1);
        assert_line(&said, meant);
    }
    let said = refused(&["compare", a, b, "--fail-on", "CREATE-podz>5%"], 4);
    assert_line(
        &said,
        "  MISSING   vmi: CREATE-podz>5%: no run has it (did you mean CREATE-pods or \
         CREATE-pods-count or CREATE-pods/binding?), allowed at most 5 %",
    );
    let budget = [
        "report",
        b,
        "--form",
        "md",
        "--out",
        "-",
        "--budget",
        "CREATE-podz<=5",
    ];
    let said = refused(&budget, 4);
    assert_line(
        &said,
        "| **UNKNOWN** | budget CREATE-podz&lt;=5 | there is no such row (did you mean CREATE-pods \
         or CREATE-nodes or CREATE-pods-count?) |",
    );
}

#[test]
fn a_history_teaches_what_is_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    publish(dir);
    let learned = |rate: &str| {
        let limits = [
            "--fail-on",
            "learned",
            "--false-alarms",
            rate,
            "--metric",
            "PATCH-pods-count",
        ];
        kubetoll(
            dir,
            &[
                &[
                    "compare", "job=ci", "newest", "--job", "ci", "--output", "json",
                ],
                &limits[..],
            ]
            .concat(),
        )
    };
    let found: Comparison = json(&learned("0.05"));
    // 39 runs since the step: the second largest of them is exceeded by two of 40.
    assert!(
        found.limits[0]
            .allowed
            .starts_with("at most 330 (39 runs, 5.00 %"),
        "{:?}",
        found.limits
    );
    assert_eq!(found.limits[0].kept, record::Kept::Yes);
    assert_eq!(code(&learned("0.01")), Some(4));
}

#[test]
fn a_run_is_judged_by_the_earlier_ones_of_its_job() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let run = |job: &str, limits: &[&str]| {
        let arguments = [
            "run",
            "vmi",
            "--count",
            "3",
            "--pause",
            "1ms",
            "--baseline",
            "0s",
            "--no-primer",
            "--job",
            job,
        ];
        kubetoll(dir, &[&arguments, limits].concat())
    };
    let limit = ["--fail-on", "CREATE-pods>0%"];
    assert_eq!(code(&run("test", &limit)), Some(4));
    assert_eq!(code(&run("test", &limit)), Some(0));
    assert_eq!(code(&run("test", &["--fail-on", "CREATE-pods>2"])), Some(3));
    let refused = run("other", &limit);
    assert_eq!(code(&refused), Some(4));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_line(
        &told,
        "kubetoll: the run is not compared with the history: it has no earlier run of that job, \
         scenario and number of objects; --bootstrap lets the first one pass",
    );
    // A new job: the first run has nothing to be judged by, the second too little to learn from.
    let bootstrap = |limit| run("new", &["--fail-on", limit, "--bootstrap"]);
    assert_eq!(code(&bootstrap("CREATE-pods>2")), Some(0));
    assert_eq!(code(&bootstrap("learned")), Some(0));
    assert_eq!(code(&bootstrap("CREATE-pods>2")), Some(3));
    assert_eq!(code(&run("new", &["--bootstrap"])), Some(2));
    let learned = run("test", &["--fail-on", "learned", "--false-alarms", "0.3"]);
    let told = String::from_utf8(learned.stderr).unwrap();
    assert_line(
        &told,
        "  learned from job=test,scenario=vmi: … bounds (… of them equality), each with at most \
         30.00 % false alarms if nothing changed, at least one of them with at most …%",
    );
}

#[test]
fn budgets_are_a_snapshot_that_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, "a", "4");
    let budget = |more: &[&str]| kubetoll(dir, &[&["budget"], more].concat());
    assert_eq!(code(&budget(&["a/record.json"])), Some(1));
    assert_eq!(code(&budget(&["a/record.json", "--update"])), Some(0));
    let path = dir.join("kubetoll-budget.yaml");
    let written = fs::read_to_string(&path).unwrap();
    let rows = "\n    virt-controller:\n      CREATE-events: 1.0\n      CREATE-pods: 1.0\n";
    assert!(written.contains(rows), "{written}");
    assert_eq!(code(&budget(&["a/record.json"])), Some(0));
    assert_eq!(code(&budget(&[])), Some(0));
    assert_eq!(code(&budget(&["--update"])), Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), written);

    fs::write(&path, written.replace("      CREATE-pods: 1.0\n", "")).unwrap();
    let over = budget(&["a/record.json", "--output", "json"]);
    assert_eq!(code(&over), Some(3));
    let report: BudgetReport = json(&over);
    let over: Vec<_> = report.rows.iter().filter(|row| !row.kept).collect();
    assert_eq!(
        (over.len(), &*over[0].row, over[0].allowed),
        (1, "CREATE-pods", None)
    );
    fs::write(&path, "schema: kubetoll.budget/9\n").unwrap();
    assert_eq!(code(&budget(&["a/record.json"])), Some(1));
}
