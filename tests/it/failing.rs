//! Runs that fail are results: printed, written and kept, with why their objects are not Running.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use k8s_openapi::api::core::v1::Namespace;
use lab::embedded::EmbeddedLab;
use record::{BooksKept, CauseSource, FailureReason, OpenRun, RunRecord, RunResult};

use crate::support::{history::History, lines::assert_line, proxy::TestProxy, real, wait};

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
            "{run}  …Z  template            v1.34.4     simulated        3       …  NO: not_running"
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
    assert_line(&rest.join("\n"), "kubetoll: interrupted; … of 1000 created");
    let result: RunResult = serde_json::from_slice(&output.stdout).unwrap();
    let failure = result.failure.unwrap();
    assert_eq!(
        (failure.reason, failure.books, result.valid),
        (FailureReason::Interrupted, BooksKept::Closed, false)
    );
    assert!(
        failure.detail.ends_with(" of 1000 created"),
        "{}",
        failure.detail
    );
    assert!(!of_kubevirt.exists());
    assert!(results.join("record.json").exists());
    let runs = history.runs();
    assert_eq!(runs[&result.id].failure, Some(FailureReason::Interrupted));
}

/// It is none of the objects that were asked for, and without a call nothing has a price.
#[test]
fn a_run_that_ends_at_its_primer_says_that_it_was_it() {
    let history = History::new();
    let run = ["run", "vmi", "--timeout", "0s", "--settle", "0s"];
    let output = history.kubetoll(&run);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_line(&text, "vmi, KubeVirt SIMULATED   run run-…");
    assert_line(
        &text,
        "only 0 of 1 VMIs were Running after 0 s…; that was the primer, one object that is made and \
         deleted before anything is counted (--no-primer goes without)",
    );
    assert!(!text.contains("What the calls cost"), "{text}");
}

/// Ctrl-C that only `kubetoll` gets: it waits for its command, or leaves it.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_measurement_says_that_it_waits_and_what_it_leaves_behind() {
    identity::install_provider();
    let lab = EmbeddedLab::start().await.unwrap();
    let proxy = TestProxy::start(&lab.url, &lab.authority.certificate_pem()).await;
    let history = History::new();
    let script = "trap '' INT TERM; echo $$; exec sleep 60";
    let around = ["--proxy", proxy.admin.url(), "--", "sh", "-c", script];
    let mut child = measure(&history, &around);
    let mut id = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut id).unwrap();
    let id = id.trim();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut says = |line: String| assert!(said.any(|said| said.unwrap() == line), "{line}");
    send("INT", &child);
    says(format!(
        "kubetoll: waiting until the command has ended (process {id})"
    ));
    send("INT", &child);
    says(format!(
        "kubetoll: the command has not ended: it goes on as process {id}"
    ));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let killed = Command::new("kill").args(["-KILL", id]).status().unwrap();
    assert!(killed.success(), "it went on");
    proxy.stop().await;
}

fn send(signal: &str, child: &Child) {
    let kill = Command::new("kill")
        .args([&format!("-{signal}"), &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}

/// `kubetoll measure` with its output in pipes.
fn measure(history: &History, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .arg("measure")
        .args(arguments)
        .env("KUBETOLL_STORE", &history.location)
        .env("XDG_STATE_HOME", history.dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Whether the command is under way, or has ended and its calls are waited for.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_measurement_is_kept_with_what_it_counted() {
    identity::install_provider();
    let lab = EmbeddedLab::start().await.unwrap();
    let proxy = TestProxy::start(&lab.url, &lab.authority.certificate_pem()).await;
    let token = lab.token_for("kubetoll", &["system:masters"]);
    let client = lab::client(&proxy.url, &proxy.authority, &token, "caller").unwrap();
    let namespaces: kube::Api<Namespace> = kube::Api::all(client);
    let long = "trap 'exit 0' INT TERM; echo begun; while :; do sleep 0.1; done";
    let history = History::new();
    for (signal, script) in [("INT", long), ("TERM", long), ("INT", "echo begun")] {
        let results = history.path("results");
        let results = results.to_str().unwrap();
        let options = ["--settle", "4m", "--results-dir", results];
        let around = ["--proxy", proxy.admin.url(), "--", "sh", "-c", script];
        let mut child = measure(&history, &[&options[..], &around].concat());
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "begun\n");
        for _ in 0..3 {
            namespaces
                .list(&kube::api::ListParams::default())
                .await
                .unwrap();
        }
        send(signal, &child);
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(130), "{signal} {script}");
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_line(&said, "kubetoll: interrupted");
        assert_line(&said, "kept as measure-… in the history …");
        assert_line(&text, "THE RUN FAILED: it was stopped by Ctrl-C or SIGTERM");
        let is_row = |line: &str| {
            let cells: Vec<_> = line.split_whitespace().take(5).collect();
            cells == ["caller", "list", "namespaces", "200", "3"]
        };
        assert!(text.lines().any(is_row), "{text}");

        let record = fs::read(history.path("results/record.json")).unwrap();
        let record: RunRecord = serde_json::from_slice(&record).unwrap();
        let failure = record.failure.as_ref().unwrap();
        let kept = (failure.reason, failure.books, record.is_valid());
        assert_eq!(kept, (FailureReason::Interrupted, BooksKept::Closed, false));
        assert_eq!(record.command.unwrap().program, "sh");
        let run = &history.runs()[&record.id];
        assert_eq!((run.valid, run.failure), (false, Some(failure.reason)));
        let next = proxy.admin.open_run("next", &OpenRun::default()).await;
        assert!(next.is_ok(), "the books are closed");
        proxy.admin.close_run("next").await.unwrap();
    }
    interrupted_while_it_stops(&history, &proxy).await;
    proxy.stop().await;
}

/// Nothing is lost: the same can be stopped again.
async fn interrupted_while_it_stops(history: &History, proxy: &TestProxy) {
    let ended = |child: Child| {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let start = ["start", "by-hand", "--proxy", proxy.admin.url()];
    assert_eq!(ended(measure(history, &start)).0, Some(0));
    let stop = measure(history, &["stop", "by-hand", "--settle", "4m"]);
    let listens = || {
        let status = fs::read_to_string(format!("/proc/{}/status", stop.id())).unwrap();
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:\t"));
        let caught = u64::from_str_radix(caught.unwrap(), 16).unwrap();
        caught & 0b10 != 0
    };
    wait::until("it listens for Ctrl-C", async || listens()).await;
    send("INT", &stop);
    let (code, said) = ended(stop);
    assert_eq!(code, Some(130), "{said}");
    assert_line(&said, "by-hand is still open");
    let again = ended(measure(history, &["stop", "by-hand", "--settle", "1ms"]));
    assert_eq!(again.0, Some(0), "{}", again.1);
}

#[test]
fn more_objects_than_the_nodes_take_are_refused_before_anything_is_made() {
    let history = History::new();
    let arguments = ["run", "vmi", "--count", "221", "--nodes", "2"];
    let output = history.kubetoll(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let refusal = "kubetoll: no room for 221 objects: the nodes that take virtual machines (2) \
                   have room for 220 pods";
    // Before it is said where the run takes place, and what killed ones have left on this machine.
    let phases = said.lines().skip_while(|line| *line != "preflight ...");
    let phases: Vec<&str> = phases.collect();
    assert_eq!(phases, ["preflight ...", refusal]);
    assert!(output.stdout.is_empty());
}
