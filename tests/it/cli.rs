//! What needs no cluster: bad input, logs, names.

use std::{
    fs,
    io::{BufRead, Write},
    path::Path,
    process::{Command, Output, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::lines::assert_line;

pub(crate) const LOG: &str = "tests/vectors/audit/instancetype-1.jsonl.gz";

pub(crate) fn kubetoll() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubetoll"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("KUBETOLL_STORE", crate::support::history::scratch());
    command
}

pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn classify_names_requests_one_by_one_and_in_a_batch() {
    let target = "/api/v1/namespaces/n/pods/p/status?fieldManager=x";
    let one = run(kubetoll().args(["classify", "PATCH", target]), b"");
    assert_eq!(one.status.code(), Some(0));
    let named: Value = serde_json::from_slice(&one.stdout).unwrap();
    let wanted = json!({
        "resourceRequest": true, "verb": "patch", "apiPrefix": "api", "apiGroup": "",
        "apiVersion": "v1", "namespace": "n", "resource": "pods", "subresource": "status",
        "name": "p", "kubevirt": {"verb": "PATCH", "resource": "pods"}, "key": "PATCH-pods",
    });
    assert_eq!(named, wanted);
    let lines = b"GET /api/v1/pods?watch=1\n\nGET /api/v1/%zz\nGET\nGET /healthz\n";
    let batch = run(kubetoll().args(["classify", "--batch"]), lines);
    let answers: Vec<Value> = batch
        .stdout
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert_eq!(answers[0]["verb"], "watch");
    assert!(answers[1]["error"].is_string() && answers[2]["error"].is_string());
    assert_eq!(answers[3]["resourceRequest"], false);
}

#[test]
fn every_shell_gets_completions_that_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(kubetoll().args(["completions", shell]), b"");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            script.contains("classify") && script.contains("no-journal"),
            "{shell}"
        );
    }
}

#[test]
fn a_usage_names_what_was_typed_and_how_the_command_was_called() {
    use std::os::unix::process::CommandExt;

    let usage = |command: &mut Command, arguments: &[&str]| {
        let output = run(command.args(arguments), b"");
        assert_eq!(output.status.code(), Some(2));
        let said = said(&output);
        let usage = said.lines().find(|line| line.starts_with("Usage: "));
        usage.unwrap().to_owned()
    };
    // KUBETOLL_STORE is set, and was not typed.
    assert_eq!(
        usage(&mut kubetoll(), &["compare"]),
        "Usage: kubetoll compare <A> <B>"
    );
    assert_eq!(
        usage(kubetoll().arg0("/bin/kubectl-kubetoll"), &["compare"]),
        "Usage: kubectl kubetoll compare <A> <B>"
    );
}

#[test]
fn a_cause_is_said_once() {
    let output = run(
        kubetoll().args(["run", "vmi", "--kubeconfig", "/nowhere"]),
        b"",
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        said(&output).matches("(os error 2)").count(),
        1,
        "{}",
        said(&output)
    );
}

#[test]
fn the_help_of_run_is_under_headings_and_shows_a_file_of_thresholds() {
    let output = run(kubetoll().args(["run", "--help"]), b"");
    let help = String::from_utf8(output.stdout).unwrap();
    let headings: Vec<&str> = help
        .lines()
        .filter(|line| !line.starts_with(' ') && line.ends_with(':') && !line.contains("--"))
        .collect();
    assert_eq!(
        headings,
        [
            "Arguments:",
            "Options:",
            "What is created:",
            "How long:",
            "Where:",
            "History and limits:",
            "Proxies:",
            "The components' own metrics:",
            "Result:",
            "Examples:",
        ]
    );
    let options = help.split("\n\n").find(|part| part.starts_with("Options:"));
    assert!(
        options.is_some_and(|part| part.lines().count() <= 4),
        "{options:?}"
    );
    let (_, example) = help
        .split_once("or rows such as PATCH-pods/status:\n")
        .unwrap();
    let thresholds: record::ThresholdFile = serde_json::from_str(example).unwrap();
    assert_eq!(thresholds.expectations.len(), 3);
}

#[test]
fn durations_that_make_no_sense_are_usage_errors() {
    let (negative, unknown) = (
        "a duration can't be negative",
        "write it like 100ms, 10s or 5m",
    );
    for (flag, value, why) in [
        ("--pause", "-1s", negative),
        ("--settle", "-2s", negative),
        ("--timeout", "soon", unknown),
        ("--baseline", "60", unknown),
    ] {
        let argument = format!("{flag}={value}");
        let output = run(kubetoll().args(["run", "vmi", &argument]), b"");
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        let line = format!("error: invalid value '{value}' for '{flag} <DURATION>': {why}");
        assert_line(&said(&output), &line);
    }
}

/// A run without a cluster option stays in this process, whatever the environment points to.
#[test]
fn a_kubeconfig_in_the_environment_is_not_touched() {
    let mut command = kubetoll();
    command
        .args([
            "run",
            "vmi",
            "--count",
            "1",
            "--pause",
            "0s",
            "--baseline",
            "0s",
        ])
        .env("KUBECONFIG", "/nowhere/kubeconfig");
    let output = run(&mut command, b"");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).starts_with("lab: an API server in this process"));
}

#[test]
fn a_ca_that_is_no_certificate_is_in_no_kubeconfig() {
    let dir = tempfile::tempdir().unwrap();
    let (config, ca) = (dir.path().join("config"), dir.path().join("ca.crt"));
    let text = "{clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}], \
                users: [{name: a, user: {token: t}}], \
                contexts: [{name: a, context: {cluster: a, user: a}}], current-context: a}";
    fs::write(&config, text).unwrap();
    for wrong in ["", "kind: Config\n"] {
        fs::write(&ca, wrong).unwrap();
        let rewrite = ["kubeconfig", "--through", "https://127.0.0.1:2", "--ca"];
        let mut command = kubetoll();
        command
            .args(rewrite)
            .arg(&ca)
            .arg("--kubeconfig")
            .arg(&config);
        let output = run(&mut command, b"");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(output.stdout.is_empty());
        let line = format!(
            "kubetoll: {} holds no CA certificate in PEM form",
            ca.display()
        );
        assert_line(&said(&output), &line);
    }
}

/// In one line, without the file's own and without words of this program.
#[test]
fn a_document_that_cannot_be_read_is_told_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let (list, yaml) = (dir.path().join("list.json"), dir.path().join("bad.yaml"));
    fs::write(&list, "[]").unwrap();
    fs::write(&yaml, "schema:\n  - {x0: 5, label: [}\n").unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (list, yaml) = (path(&list), path(&yaml));
    let told = |arguments: &[&str]| {
        let output = run(kubetoll().args(arguments), b"");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        said(&output)
    };
    let why = format!("kubetoll: {list} is no record of a run: it is no JSON object");
    assert_line(&told(&["why", &list]), &why);
    for arguments in [
        ["budget", &list, "--file", &yaml].as_slice(),
        &["graph", "--markers", &yaml, "--out", "/nowhere"],
    ] {
        let said = told(arguments);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with(&format!("kubetoll: {yaml} ")), "{said}");
        assert!(!said.contains("u000a") && !said.contains(" | "), "{said}");
    }
}

#[test]
fn a_reader_that_leaves_does_not_cost_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let script = "\"$0\" run vmi --count 1 --pause 0s --baseline 0s --results-dir \"$1\" | true";
    let ended = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_kubetoll")])
        .arg(dir.path())
        .env("KUBETOLL_STORE", crate::support::history::scratch())
        .output()
        .unwrap();
    assert!(ended.status.success());
    assert!(dir.path().join("record.json").exists(), "{}", said(&ended));
}

/// Nobody reads what is said, or there is no room for it.
#[test]
fn a_standard_error_that_takes_nothing_ends_no_run() {
    for script in [
        "\"$0\" run vmi --count 1 --pause 0s --baseline 0s --results-dir \"$1\" 2>/dev/full",
        "\"$0\" run vmi --count 1 --pause 0s --baseline 0s --results-dir \"$1\" 2> >(true)",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let ended = Command::new("bash")
            .args(["-c", script, env!("CARGO_BIN_EXE_kubetoll")])
            .arg(dir.path())
            .env("KUBETOLL_STORE", crate::support::history::scratch())
            .env("RUST_LOG", "debug")
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(0), "{script}: {ended:?}");
        assert!(dir.path().join("record.json").exists(), "{script}");
    }
}

fn counted(output: &Output) -> u64 {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counts = report["counts"].as_array().unwrap().iter();
    counts.map(|row| row["count"].as_u64().unwrap()).sum()
}

#[test]
fn rotated_reordered_and_torn_logs_are_counted_as_far_as_they_go() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packed = fs::read(root.join(LOG)).unwrap();
    let mut text = String::new();
    let mut unpacked = flate2::read::GzDecoder::new(&packed[..]);
    std::io::Read::read_to_string(&mut unpacked, &mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let audit = |files: &[&str], input: &[u8]| {
        let mut command = kubetoll();
        run(
            command.args(["audit", "--output", "json"]).args(files),
            input,
        )
    };
    let whole = counted(&audit(&[LOG], b""));
    assert!(whole > 20, "{whole}");

    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (old, new) = lines.split_at(lines.len() / 2);
    fs::write(path("new"), new.join("\n")).unwrap();
    let mut reversed = old.to_vec();
    reversed.reverse();
    let output = audit(&[&path("new"), "-"], reversed.join("\n").as_bytes());
    assert_eq!((output.status.code(), counted(&output)), (Some(0), whole));

    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    for line in &lines {
        gzip.write_all(line.as_bytes()).unwrap();
        gzip.write_all(b"\n").unwrap();
        gzip.flush().unwrap();
    }
    let mut torn = gzip.finish().unwrap();
    torn.truncate(torn.len() - 20);
    fs::write(path("torn"), torn).unwrap();
    fs::write(path("bad"), b"\xff\xfe no event\n").unwrap();
    let output = audit(&[&path("torn"), &path("bad")], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(counted(&output) >= whole - 1, "{}", counted(&output));
    let torn = path("torn");
    assert_line(
        &said(&output),
        &format!("kubetoll: {torn}:…: the rest cannot be read: incomplete deflate stream"),
    );
    let bad = path("bad");
    assert_line(
        &said(&output),
        &format!("kubetoll: {bad}:1: not an audit event: it is no JSON"),
    );
}

/// The events of the log, each as `wrap` makes a line of it.
fn wrapped_log(wrap: impl Fn(&str) -> String) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packed = fs::read(root.join(LOG)).unwrap();
    let mut text = String::new();
    let mut unpacked = flate2::read::GzDecoder::new(&packed[..]);
    std::io::Read::read_to_string(&mut unpacked, &mut text).unwrap();
    let lines: Vec<String> = text.lines().map(wrap).collect();
    lines.join("\n")
}

#[test]
fn a_log_as_it_is_delivered_is_counted_like_the_servers_own_and_the_summary_says_how_it_was() {
    let audit = |arguments: &[&str], input: &str| {
        let mut command = kubetoll();
        run(command.arg("audit").args(arguments), input.as_bytes())
    };
    let own = audit(&["--output", "json", LOG], "");
    let text = |event: &str| Value::from(event);
    for (place, log) in [
        (
            "after other text",
            wrapped_log(|event| format!("master-0 {event}")),
        ),
        (
            "properties.log",
            wrapped_log(|event| json!({"properties": {"log": text(event)}}).to_string()),
        ),
        (
            "message",
            wrapped_log(|event| json!({"message": text(event)}).to_string()),
        ),
        (
            "log",
            wrapped_log(|event| json!({"log": text(event)}).to_string()),
        ),
    ] {
        let found = audit(&["--output", "json", "-"], &log);
        assert_eq!(found.status.code(), Some(0), "{place}");
        assert_eq!(counted(&found), counted(&own), "{place}");
        let shown = audit(&["-"], &log);
        let shown = String::from_utf8(shown.stdout).unwrap();
        let lines = log.lines().count();
        let summary = format!("Of these were unwrapped\n  {lines:>6}  {place}\n");
        assert!(shown.ends_with(&summary), "{shown}");
    }
}

#[test]
fn a_log_that_cannot_be_counted_is_said_to_be_one() {
    let received = wrapped_log(|event| {
        let mut event: Value = serde_json::from_str(event).unwrap();
        event["stage"] = "RequestReceived".into();
        event.to_string()
    });
    let audit = |arguments: &[&str], input: &str| {
        let mut command = kubetoll();
        let output = run(
            command.arg("audit").args(arguments).arg("-"),
            input.as_bytes(),
        );
        assert_eq!(output.status.code(), Some(4), "{arguments:?}");
        said(&output)
    };
    assert_eq!(
        audit(&[], &received),
        "kubetoll: nothing was counted: it has no event that says how a request ended\n\
         kubetoll: the log has no event of the stage ResponseComplete: how requests ended is not \
         known, and only those that stay open are counted; take ResponseComplete out of omitStages in \
         the API server's audit policy\n"
    );
    assert_eq!(
        audit(&[], ""),
        "kubetoll: nothing was counted: there is no audit event in it\n"
    );
    let log = wrapped_log(str::to_owned);
    let events = log.lines().count();
    assert_eq!(
        audit(&["--since", "2100-01-01"], &log),
        format!(
            "kubetoll: nothing was counted: none of its {events} events is of a request that was asked for\n"
        )
    );
    assert!(
        audit(&["--components", "virt-controler"], &log).starts_with(
            "kubetoll: the log has no request of virt-controler, at any time: did you mean \
             virt-controller"
        )
    );
}
