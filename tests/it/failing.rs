//! Runs that fail are results: printed, written and kept, with why their objects are not Running.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use record::{BooksKept, CauseSource, FailureReason, RunRecord, RunResult};

use crate::support::{history::History, lines::assert_line, real};

/// A VMI for a node that is nowhere.
const NOWHERE: &str = "apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: nowhere}
spec: {nodeSelector: {kubetoll.dev/nowhere: 'true'}, domain: {devices: {}}}
";

fn template(history: &History) -> PathBuf {
    let path = history.path("nowhere.yaml");
    fs::write(&path, NOWHERE).unwrap();
    path
}

/// Three VMIs that no node takes.
fn run_nowhere(history: &History, more: &[&str]) -> Output {
    let template = template(history);
    let run = [
        "run",
        "--template",
        template.to_str().unwrap(),
        "--count",
        "3",
        "--pause",
        "0s",
        "--baseline",
        "0s",
        "--timeout",
        "8s",
        "--no-primer",
    ];
    history.kubetoll(&[&run[..], more].concat())
}

#[test]
fn a_run_that_times_out_says_why_and_is_kept_as_not_valid() {
    let history = History::new();
    let results = history.path("results");
    let output = run_nowhere(&history, &["--results-dir", results.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for line in [
        "THE RUN FAILED: not all objects came to Running before the time was over",
        "only 0 of 3 VMIs were Running after 8 s; 3 in Scheduling",
        "The books were closed when the run ended: the rows are what was counted until then.",
        "KubeVirt's names, over KubeVirt's components, until the run failed",
        "  CREATE-pods-count                     3",
        "Not Running when the run failed: 3 of 3",
        "       3  Scheduling",
        "          Pod condition PodScheduled Unschedulable: 0 nodes are available: none has room \
         and matches the pod's node selector.",
        "THE COUNTS ARE NOT VALID",
    ] {
        assert!(lines.contains(&line), "{line:?} is not in\n{text}");
    }
    let said = String::from_utf8(output.stderr).unwrap();
    let line = "kubetoll: only 0 of 3 VMIs were Running after 8 s; 3 in Scheduling";
    assert!(said.lines().any(|one| one == line), "{said}");

    let record: RunRecord =
        serde_json::from_slice(&fs::read(results.join("record.json")).unwrap()).unwrap();
    assert!(!record.is_valid());
    assert_eq!(record.checks[0].name, record::ENDED_CHECK);
    let runs = history.runs();
    let run = &runs[&record.id];
    assert_eq!(
        (run.valid, run.failure),
        (false, Some(FailureReason::NotRunning))
    );
    let listed = history.kubetoll(&["runs", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let run = &record.id;
    assert_line(
        &listed,
        &format!(
            "{run}  …Z  template            v1.34.4     simulated        3       22  NO: not_running"
        ),
    );
    let compared = history.kubetoll(&["compare", &record.id, "newest"]);
    assert_eq!(compared.status.code(), Some(1), "it is no valid run");
}

/// On a real kube-apiserver, events of both APIs are the same objects.
#[test]
fn a_run_that_times_out_on_a_real_kube_apiserver_shows_its_events() {
    if real::assets().is_none() {
        return;
    }
    let history = History::new();
    let output = run_nowhere(&history, &["--lab", "real", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let result: RunResult = serde_json::from_slice(&output.stdout).unwrap();
    let failure = result.failure.unwrap();
    assert_eq!(failure.books, BooksKept::Closed);
    let found = failure.not_running.unwrap();
    assert_eq!((found.running, found.count), (0, 3));
    assert!(found.unknown.is_empty(), "{:?}", found.unknown);
    let causes = &found.groups[0].causes;
    let is_event = |source, reason: &str| {
        let mut causes = causes.iter();
        causes.any(|cause| cause.source == source && cause.reason == reason)
    };
    assert!(
        is_event(CauseSource::Event, "FailedScheduling"),
        "{causes:?}"
    );
    assert!(
        is_event(CauseSource::Condition, "Unschedulable"),
        "{causes:?}"
    );
}

/// KubeVirt's file could not say that its numbers mean nothing.
#[test]
fn an_interrupted_run_is_kept_and_leaves_no_file_that_looks_valid() {
    let history = History::new();
    let results = history.path("results");
    fs::create_dir_all(&results).unwrap();
    let of_kubevirt = results.join("VMI-perf-audit-results.json");
    fs::write(&of_kubevirt, "{}").unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .args(["run", "vmi", "--count", "1000", "--baseline", "0s"])
        .args(["--output", "json", "--results-dir"])
        .arg(&results)
        .env("KUBETOLL_STORE", &history.location)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap() == "create ..."));
    let kill = Command::new("kill").arg(run.id().to_string()).status();
    assert!(kill.unwrap().success());
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{rest:?}");
    let result: RunResult = serde_json::from_slice(&output.stdout).unwrap();
    let failure = result.failure.unwrap();
    assert_eq!(
        (failure.reason, failure.books, result.valid),
        (FailureReason::Interrupted, BooksKept::Closed, false)
    );
    assert!(!of_kubevirt.exists());
    assert!(results.join("record.json").exists());
    let runs = history.runs();
    assert_eq!(runs[&result.id].failure, Some(FailureReason::Interrupted));
}

#[test]
fn more_objects_than_the_nodes_take_are_refused_before_anything_is_made() {
    let history = History::new();
    let arguments = ["run", "vmi", "--count", "221", "--nodes", "2"];
    let output = history.kubetoll(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let refusal = "kubetoll: 221 objects don't fit: the 2 nodes that take virtual machines have \
                   room for 220 pods";
    let phases: Vec<&str> = said.lines().skip(1).collect();
    assert_eq!(phases, ["preflight ...", refusal]);
    assert!(output.stdout.is_empty());
}
