//! Keeping runs as a user does.

use std::{fs, process::Command};

use record::{HistoryRun, ImportReport, Origin, label};

use crate::support::{history::History, lines::assert_line, postgres::Database};

/// Keeps a run and moves it to another history.
fn keep_and_move(history: &History) {
    let output = history.run_two(&["--job", "nightly", "--label", "commit=d923fdb8"]);
    assert_eq!(output.status.code(), Some(0));
    let runs = history.runs();
    assert_eq!(runs.len(), 1);
    let run = runs.values().next().unwrap();
    assert_eq!(
        (run.origin, run.valid, run.objects),
        (Origin::Simulated, true, Some(2))
    );
    assert_eq!(
        (run.label(label::JOB), run.label(label::COMMIT)),
        ("nightly", "d923fdb8")
    );
    assert_eq!(
        (run.label(label::SCENARIO), run.label(label::KUBERNETES)),
        ("vmi", "v1.34.4")
    );
    assert_eq!(run.values["CREATE-pods-count"], 2.0);
    // By status, an exact 0 stays a 0.
    assert!(run.values.contains_key("vmiCreationToRunningSecondsP50"));
    assert_eq!(
        run.components["kube-scheduler"]["CREATE-pods/binding-count"],
        2.0
    );
    let shown: HistoryRun = history.json(&["runs", "show", &run.id[..run.id.len() - 2]], 0);
    assert_eq!(shown.record.as_ref().unwrap().objects.len(), 2);

    let labelled: HistoryRun = history.json(
        &["runs", "label", &run.id, "machine-", "kubevirt=v1.8.0"],
        0,
    );
    assert_eq!(
        (
            labelled.label(label::MACHINE),
            labelled.label(label::KUBEVIRT)
        ),
        ("", "v1.8.0")
    );
    let file = history.path("moved.jsonl");
    let file = file.to_str().unwrap();
    assert_eq!(
        history
            .kubetoll(&["runs", "export", "--out", file])
            .status
            .code(),
        Some(0)
    );
    let other = History::new();
    let report: ImportReport = other.json(&["runs", "import", file], 0);
    assert_eq!(report.runs.new, 1);
    let moved: HistoryRun = other.json(&["runs", "show", &run.id], 0);
    assert_eq!(moved.record, shown.record);
    assert_eq!(moved.labels, labelled.labels);

    let again: ImportReport = history.json(&["runs", "import", file], 0);
    assert_eq!((again.runs.known, again.runs.other_labels.len()), (1, 0));
    let refused = history.kubetoll(&["runs", "label", &run.id, "scenario-"]);
    assert_eq!(refused.status.code(), Some(2));
    let labelled = history.kubetoll(&["runs", "label", &run.id, "a=b"]);
    assert_line(&String::from_utf8_lossy(&labelled.stdout), "  record   yes");
    let again: ImportReport = history.json(&["runs", "import", file], 0);
    assert_eq!(again.runs.other_labels, [run.id.as_str()]);

    let _: Vec<String> = history.json(&["runs", "delete", &run.id], 0);
    assert_eq!(history.runs().len(), 0);
    assert_eq!(
        history.kubetoll(&["runs", "show", &run.id]).status.code(),
        Some(1)
    );
    let _: Vec<String> = history.json(&["runs", "delete", "--undo", &run.id], 0);
    assert_eq!(history.runs().len(), 1);
    assert_eq!(history.kubetoll(&["runs", "check"]).status.code(), Some(0));
}

#[test]
fn a_run_is_kept_and_can_be_labelled_moved_and_removed() {
    keep_and_move(&History::new());
    if let Some(database) = Database::new() {
        keep_and_move(&History::on(&database));
    }
}

#[test]
fn a_history_that_cannot_be_written_never_loses_the_result() {
    let history = History {
        location: "/proc/nowhere/history.db".to_owned(),
        ..History::new()
    };
    let asked_for = history.run_two(&[]);
    assert_eq!(asked_for.status.code(), Some(1));
    assert!(
        asked_for.stdout.is_empty(),
        "it is refused before anything runs"
    );
    let none = history.run_two(&["--no-store"]);
    assert_eq!(none.status.code(), Some(0));
    // The default place, which nobody asked for, is no reason to fail.
    let output = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .args([
            "run",
            "vmi",
            "--count",
            "2",
            "--pause",
            "0s",
            "--baseline",
            "0s",
        ])
        .env_remove("KUBETOLL_STORE")
        .env("XDG_DATA_HOME", "/proc/nowhere")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_line(
        &said,
        "kubetoll: the run is not in the history: cannot open the history \
         /proc/nowhere/kubetoll/history.db: No such file or directory (os error 2)",
    );
    assert_line(
        &String::from_utf8_lossy(&output.stdout),
        "  CREATE-pods-count                     2",
    );
    assert_eq!(output.status.code(), Some(0));
}

/// Files may not grow beyond 36 KiB here, as on a full disk.
#[test]
fn a_disk_that_is_full_loses_the_entry_but_not_the_result_and_not_the_history() {
    let history = History::new();
    assert_eq!(history.run_two(&[]).status.code(), Some(0));
    let script = "trap '' XFSZ; ulimit -f 36; exec \"$0\" run vmi --count 10 --baseline 0s";
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_kubetoll")])
        .env("KUBETOLL_STORE", &history.location)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_line(
        &said,
        &format!(
            "kubetoll: the run is not in the history: the history {} failed: disk I/O error",
            history.location
        ),
    );
    assert_line(
        &String::from_utf8_lossy(&output.stdout),
        "  CREATE-pods-count                     10",
    );
    assert_eq!(history.runs().len(), 1);
    assert_eq!(history.run_two(&[]).status.code(), Some(0));
    assert_eq!(history.kubetoll(&["runs", "check"]).status.code(), Some(0));
}

#[test]
fn estimates_and_counts_are_not_mixed_in_a_form_that_cannot_tell() {
    let history = History::new();
    assert_eq!(
        history.run_two(&["--job", "nightly"]).status.code(),
        Some(0)
    );
    let file = history.path("VMI-perf-audit-results.json");
    fs::write(
        &file,
        r#"{"Values": {"CREATE-pods-count": {"value": 2.2}}}"#,
    )
    .unwrap();
    let import = [
        "import",
        "perfscale-audit",
        "--job",
        "nightly",
        file.to_str().unwrap(),
    ];
    assert_eq!(history.kubetoll(&import).status.code(), Some(0));
    let out = history.path("out");
    let weekly = ["export", "kubevirt-weekly", "--out", out.to_str().unwrap()];
    let mixed = history.kubetoll(&weekly);
    assert_eq!(mixed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&mixed.stderr).into_owned();
    assert_line(
        &said,
        "kubetoll: job \"nightly\", scenario \"vmi\" has runs of several origins (simulated, estimate): \
         the form can't tell them apart, so choose one with --origin",
    );
    assert!(!out.exists());
    let one = [&weekly[..], &["--origin", "simulated"]].concat();
    assert_eq!(history.kubetoll(&one).status.code(), Some(0));
}

#[test]
fn a_damaged_line_of_an_export_is_named() {
    let history = History::new();
    let file = history.path("history.jsonl");
    fs::write(
        &file,
        "{\"schema\": \"kubetoll.history/9\"}\n{\"schema\": \"kubetoll.hist",
    )
    .unwrap();
    let report: ImportReport = history.json(&["runs", "import", file.to_str().unwrap()], 1);
    let skipped = [
        "document 1: its schema is kubetoll.history/9, which this Kubetoll doesn't know",
        "document 2: EOF while parsing a string at line 2 column 25",
    ];
    let skipped = skipped.map(|words| format!("{}, {words}", file.display()));
    assert_eq!(report.skipped, skipped);
}

#[test]
fn a_file_without_a_run_is_no_import_and_a_damaged_history_is_named() {
    let history = History::new();
    let empty = history.path("empty.json");
    fs::write(&empty, " \n").unwrap();
    for file in [empty.to_str().unwrap(), "/dev/null"] {
        let report: ImportReport = history.json(&["runs", "import", file], 1);
        assert_eq!(report.skipped, [format!("{file} is empty")]);
    }
    let list = history.path("list.json");
    fs::write(&list, "[]").unwrap();
    let list = list.to_str().unwrap();
    let report: ImportReport = history.json(&["runs", "import", list], 1);
    let wrong = format!("{list}, document 1: it is no JSON object");
    assert_eq!(report.skipped, [wrong]);
    let none = history.kubetoll(&["runs", "list"]);
    assert!(none.status.success() && none.stdout.is_empty());

    let mut damaged = fs::read(&history.location).unwrap();
    damaged[100..].fill(0xff);
    fs::write(&history.location, damaged).unwrap();
    let failed = history.kubetoll(&["runs", "list"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    let named = format!(
        "kubetoll: the history {} failed: database disk image is malformed: the file is damaged. Bring \
         it back from a copy, or name another with --store; `sqlite3 FILE .recover` may save some of it",
        history.location
    );
    assert_line(&said, &named);
}

#[test]
fn a_list_is_short_and_says_what_it_leaves_out() {
    let history = History::new();
    let points: Vec<String> = (1..=25)
        .map(|day| format!("\"2024-03-{day:02}\""))
        .collect();
    let values: Vec<String> = (1..=25).map(|value| value.to_string()).collect();
    let graphs = format!(
        r#"{{"job": {{"vmi": {{"Weekly CREATE-pods-count for vmi": {{
            "individual metrics": {{"x": [{}], "y": [{}]}},
            "weekly averages": {{"x": [], "y": []}}}}}}}}}}"#,
        points.join(","),
        values.join(",")
    );
    let path = history.path("graphs.json");
    fs::write(&path, graphs).unwrap();
    let _: ImportReport = history.json(&["import", "kubevirt-graphs", path.to_str().unwrap()], 0);
    let list = |more: &[&str]| {
        let output = history.kubetoll(&[&["runs", "list"], more].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let text = list(&[]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines.len()), ("job job", 24), "{text}");
    assert!(lines[22].starts_with("2024-03-25/1 "), "{text}");
    assert_eq!(
        lines[23],
        "5 earlier runs are not shown: --last N shows N runs, --all shows all"
    );
    assert!(lines.iter().all(|line| line.len() <= 120), "{text}");
    assert_eq!(list(&["--last", "3"]).lines().count(), 7);
    assert_eq!(list(&["--all"]).lines().count(), 28);
    // What is shown will do as a name.
    let shown: HistoryRun = history.json(&["runs", "show", "2024-03-25/1"], 0);
    assert_eq!(
        shown.id,
        "kubevirt-graphs/job/vmi/CREATE-pods-count/2024-03-25/1"
    );
    assert_eq!(history.runs().len(), 25, "programs get all");
}
