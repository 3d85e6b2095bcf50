//! Runs that are not valid: which of others' are, how they are told, and what is made of them.

use std::{fs, path::PathBuf};

use record::{BooksKept, Comparison, Drawn, FailureReason, ImportReport, RunFailure, RunRecord};

use crate::support::{history::History, lines::assert_line};

/// KubeVirt's results, of VMIs by phase and of some calls.
struct Build<'b> {
    job: &'b str,
    id: &'b str,
    at: &'b str,
    vmi: &'b [(&'b str, f64)],
    vm: &'b [(&'b str, f64)],
}

impl Build<'_> {
    fn write(&self, history: &History) {
        let folder = history.path("results").join(self.job).join(self.id);
        fs::create_dir_all(&folder).unwrap();
        let result = |values: &[(&str, f64)]| {
            let values = values.iter();
            let values = values.map(|(name, value)| format!(r#""{name}": {{"value": {value}}}"#));
            let values: Vec<String> = values.collect();
            format!(r#"{{"Values": {{{}}}}}"#, values.join(","))
        };
        let (at, vmi, vm) = (self.at, result(self.vmi), result(self.vm));
        fs::write(
            folder.join("results.json"),
            format!(r#"{{"JobDirCreationTime": "{at}", "VMIResult": {vmi}, "VMResult": {vm}}}"#),
        )
        .unwrap();
    }
}

const RUNNING: &str = "running-phase-count";
const SCHEDULED: &str = "scheduled-phase-count";

/// One build that is whole, and others of which something is missing.
const BUILDS: [Build<'_>; 6] = [
    Build {
        job: "perf",
        id: "1",
        at: "2026-01-01T00:00:00Z",
        // The VMI test has a primer.
        vmi: &[
            (RUNNING, 101.0),
            ("PATCH-virtualmachineinstances-count", 222.0),
        ],
        vm: &[(RUNNING, 100.0)],
    },
    Build {
        job: "perf",
        id: "2",
        at: "2026-01-02T00:00:00Z",
        vmi: &[(RUNNING, 85.0), ("failed-phase-count", 15.0), ("x", 100.0)],
        vm: &[(RUNNING, 62.0), (SCHEDULED, 38.0)],
    },
    Build {
        job: "perf",
        id: "3",
        at: "2026-01-03T00:00:00Z",
        vmi: &[(RUNNING, 100.0), (SCHEDULED, 1.0)],
        vm: &[("scheduling-phase-count", 23.0), (SCHEDULED, 33.0)],
    },
    // KubeVirt's tests created fewer then.
    Build {
        job: "perf",
        id: "4",
        at: "2023-10-19T23:24:57Z",
        vmi: &[(RUNNING, 91.0)],
        vm: &[(RUNNING, 90.0)],
    },
    Build {
        job: "perf",
        id: "5",
        at: "2023-10-20T08:15:51Z",
        vmi: &[("CREATE-pods-count", 90.0)],
        vm: &[(RUNNING, 90.0)],
    },
    // How many it creates is not known.
    Build {
        job: "perf-kwok",
        id: "6",
        at: "2026-01-04T00:00:00Z",
        vmi: &[(RUNNING, 40.0)],
        vm: &[(RUNNING, 2000.0), ("pending-phase-count", 1.0)],
    },
];

fn imported(history: &History) -> ImportReport {
    for build in BUILDS {
        build.write(history);
    }
    let root = history.dir.path().to_str().unwrap();
    history.json(&["import", "kubevirt-ci", root], 0)
}

#[test]
fn a_run_of_which_not_all_vmis_were_running_is_kept_and_not_valid() {
    let history = History::new();
    let report = imported(&history);
    assert_eq!(report.runs.new, 12);
    let expected = [
        ("perf/2/vmi", "85 of 100", " (15 failed)"),
        ("perf/2/vm", "62 of 100", " (38 scheduled)"),
        ("perf/3/vmi", "100 of 101", " (1 scheduled)"),
        ("perf/3/vm", "0 of 100", " (33 scheduled, 23 scheduling)"),
        ("perf/5/vm", "90 of 100", ""),
        ("perf-kwok/6/vm", "2000 of 2001", " (1 pending)"),
    ];
    let why = |(_, count, phases): (&str, &str, &str)| {
        format!("{count} VMIs were Running when Prometheus last looked{phases}")
    };
    let mut told = expected.map(|one| format!("kubevirt-ci/{}: {}", one.0, why(one)));
    let mut found = report.not_valid.clone();
    told.sort();
    found.sort();
    assert_eq!(found, told);

    let runs = history.runs();
    let not_valid = runs.values().filter(|run| !run.valid).count();
    assert_eq!(not_valid, expected.len());
    let failed = &runs["kubevirt-ci/perf/2/vmi"];
    assert_eq!(
        failed.values["failed-phase-count"], 15.0,
        "it is kept whole"
    );
    assert_eq!(runs["kubevirt-ci/perf/4/vm"].objects, Some(90));

    let shown = history.kubetoll(&["runs", "show", "kubevirt-ci/perf/2/vm"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert_line(&shown, "  valid    NO: 62 of 100 Running");
    assert_line(&shown, &format!("  reason   {}", why(expected[1])));
    let listed = history.kubetoll(&["runs", "list", "--job", "perf", "--scenario", "vm"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_line(
        &listed,
        "2/vm  2026-01-02T00:00:00Z  vm …  NO: 62 of 100 Running",
    );
}

/// What a command prints, with its exit code; what it says on standard error must have this line.
fn printed(history: &History, arguments: &[&str], code: i32, said: &str) -> String {
    let output = history.kubetoll(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    assert_line(&String::from_utf8_lossy(&output.stderr), said);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn statistics_take_runs_that_are_not_valid_if_they_are_asked_to_and_say_so() {
    let history = History::new();
    imported(&history);
    let compare = [
        "compare",
        "job=perf,until=2026-01-02",
        "job=perf,since=2026-01-02",
        "--scenario",
        "vmi",
    ];
    let left_out = "2 runs that are not valid are left out; --with-failed takes them in";
    let b = compare[2];
    let said = format!("kubetoll: {b} has no valid run");
    printed(&history, &compare, 2, &said);
    printed(&history, &compare, 2, &format!("{b}: {left_out}"));
    let with = |arguments: &[&str], whose: &str, count: &str| {
        let said = format!("{whose}: including {count} runs that are not valid");
        printed(
            &history,
            &[arguments, &["--with-failed"]].concat(),
            0,
            &said,
        )
    };
    let ids = "kubevirt-ci/perf/2/vmi, kubevirt-ci/perf/3/vmi";
    let group = format!("{b}: 2 runs, estimate, including 2 runs that are not valid ({ids})");
    assert_line(&with(&compare, b, "2"), &format!("B  {group}"));
    let markdown = [&compare[..], &["--output", "markdown"]].concat();
    assert_line(&with(&markdown, b, "2"), &format!("**B**: {group}"));
    let json: Comparison = serde_json::from_str(&with(
        &[&compare[..], &["--output", "json"]].concat(),
        b,
        "2",
    ))
    .unwrap();
    assert_eq!((json.a.not_valid, json.b.not_valid), (0, 2));
    assert_eq!(json.scenarios[0].b_runs, 2);

    let changes = with(&["changes", "--job", "perf"], "the history", "5");
    assert_line(&changes, "in all runs, including 5 runs that are not valid");

    let out = history.path("graphs");
    let vm = ["--job", "perf", "--scenario", "vm", "--metric", RUNNING];
    let draw = |command: &str, more: &[&str]| -> Drawn {
        let draw = [command, "--out", out.to_str().unwrap()];
        history.json(&[&draw[..], &vm, more].concat(), 0)
    };
    let shown = |drawn: &Drawn| (drawn.graphs[0].runs, drawn.graphs[0].not_valid);
    // One of 90 objects is left out.
    assert_eq!(shown(&draw("graph", &[])), (1, 0));
    assert_eq!(shown(&draw("graph", &["--objects", "90"])), (1, 0));
    assert_eq!(shown(&draw("graph", &["--with-failed"])), (3, 2));
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    let runs = "of runs from 2023-10-20 to 2026-01-02";
    let including = format!("{runs}, including 2 runs that are not valid.");
    assert!(page.contains(&format!("1 graph {including}")));
    assert!(page.contains("individual runs (Prometheus estimate; including 2 runs"));
    draw("docs", &["--with-failed"]);
    let page = fs::read_to_string(out.join("perf-scale-benchmarks.md")).unwrap();
    assert!(
        page.contains("runs from 2023-10-20 to 2026-01-02, including 2 runs that are not valid.")
    );

    let form = ["kubevirt-results", "--job", "perf"];
    let builds = |out: PathBuf| fs::read_dir(out.join("results/perf")).unwrap().count();
    assert_eq!(builds(history.export(&form)), 3, "1, 4 and the VMIs of 5");
    let all = [&form[..], &["--with-failed"]].concat();
    assert_eq!(builds(history.export(&all)), 5);
}

/// Two VMIs in a lab; the record's path.
fn run(history: &History, name: &str, more: &[&str], said: &str) -> String {
    let results = history.path(name);
    let results = results.to_str().unwrap();
    let kept = ["--no-primer", "--job", "few", "--results-dir", results];
    let output = history.run_two(&[&kept[..], more].concat());
    assert_eq!(output.status.code(), Some(0));
    assert_line(&String::from_utf8_lossy(&output.stderr), said);
    format!("{results}/record.json")
}

#[test]
fn a_failed_run_can_be_learned_from_budgeted_by_and_put_beside_another() {
    let history = History::new();
    let first = run(&history, "first", &[], "kept as run-…");
    let mut failed: RunRecord = serde_json::from_slice(&fs::read(first).unwrap()).unwrap();
    failed.id = "failed".to_owned();
    failed.fail(RunFailure {
        reason: FailureReason::NotRunning,
        detail: "only 1 of 2 VMIs were Running".to_owned(),
        books: BooksKept::Closed,
        not_running: None,
    });
    let path = history.path("failed.json");
    fs::write(&path, serde_json::to_vec(&failed).unwrap()).unwrap();
    let path = path.to_str().unwrap();
    assert!(history.kubetoll(&["runs", "import", path]).status.success());
    let label = ["runs", "label", "failed", "job=few"];
    assert!(history.kubetoll(&label).status.success());

    let limit = ["--fail-on", "CREATE-pods>2"];
    let left_out =
        "the earlier runs: 1 run that is not valid is left out; --with-failed takes it in";
    run(&history, "without", &limit, left_out);
    let both = "A  job=few,scenario=vmi: 3 runs, simulated, including 1 run that is not valid (…)";
    let record = run(
        &history,
        "with",
        &[&limit[..], &["--with-failed"]].concat(),
        both,
    );

    let file = history.path("budget.yaml");
    let budget = [
        "budget",
        "failed",
        "--update",
        "--file",
        file.to_str().unwrap(),
    ];
    let refused = history.kubetoll(&budget);
    assert_eq!(refused.status.code(), Some(1), "there is no budget yet");
    assert!(!file.exists());
    let taken = history.kubetoll(&[&budget[..], &["--with-failed"]].concat());
    assert_eq!(taken.status.code(), Some(0));
    let text = String::from_utf8(taken.stdout).unwrap();
    assert_line(&text, "including 1 run that is not valid");
    let check = [&budget[..2], &budget[3..]].concat();
    let refused = history.kubetoll(&check);
    assert_eq!(refused.status.code(), Some(4));
    let text = String::from_utf8(refused.stdout).unwrap();
    assert_line(&text, "THE COUNTS ARE NOT VALID");

    let beside = |more: &[&str]| {
        let report = ["report", &*record, "--form", "md", "--out", "-"];
        let output = history.kubetoll(&[&report[..], more].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let good = "This run and the 2 good runs of its kind before it.";
    assert_line(&beside(&[]), good);
    let all = "This run and the 3 runs of its kind before it, including 1 run that is not valid.";
    assert_line(&beside(&["--with-failed"]), all);
}
