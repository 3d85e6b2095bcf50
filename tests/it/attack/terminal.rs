//! Words of others that reach a terminal or a report: they can neither act there nor make lines.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use cluster::kubeconfig::{Credential, kubeconfig};
use identity::mint::Authority;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::wire::Upstream;

/// A title, an erased screen, text in another direction, a colour by C1, and lines of its own.
const HOSTILE: &str =
    "x\x1b]0;evil\x07\x1b[2J\u{202e}\u{9b}31m\u{7f}\u{2066}\r\nkubetoll: forged|<img src=q>[a](b)";

fn kubetoll(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubetoll"));
    command
        .args(arguments)
        .current_dir(dir)
        .env("KUBETOLL_STORE", dir.join("history.db"))
        .env_remove("KUBECONFIG");
    command
}

/// What it prints on both streams, which must have been something of the hostile words.
fn said(dir: &Path, arguments: &[&str]) -> String {
    let output = kubetoll(dir, arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    is_harmless(&arguments.join(" "), &said);
    said
}

fn is_harmless(what: &str, text: &str) {
    let acts = |letter: char| {
        (letter.is_control() && letter != '\n')
            || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let found = text.find(acts).map(|at| text[at..].chars().next());
    assert_eq!(found, None, "{what}: {text:?}");
    // Lines mean nothing in these.
    if what.ends_with(".html") || what.ends_with(".xml") {
        return;
    }
    let mut lines = text.lines();
    let forged = lines.find(|line| line.trim_start().starts_with("kubetoll: forged"));
    assert_eq!(forged, None, "{what}: {text}");
}

/// Adds the hostile words to all that has a name in a document.
fn spoil(value: &mut Value) {
    const NAMES: [&str; 18] = [
        "id",
        "component",
        "verb",
        "resource",
        "subresource",
        "path",
        "group",
        "user",
        "name",
        "detail",
        "admin",
        "kubernetes_version",
        "kubevirt_version",
        "server",
        "context",
        "upstream",
        "code",
        "version",
    ];
    match value {
        Value::Array(items) => items.iter_mut().for_each(spoil),
        Value::Object(fields) => {
            for (field, value) in fields {
                match value {
                    Value::String(text) if NAMES.contains(&field.as_str()) => {
                        text.push_str(HOSTILE)
                    }
                    other => spoil(other),
                }
            }
        }
        _ => {}
    }
}

fn row(answered: u64) -> Value {
    let durations = json!({"buckets": [], "sum_seconds": 0.0});
    json!({
        "id": 1, "component": HOSTILE, "user": HOSTILE, "verb": HOSTILE, "group": HOSTILE,
        "version": "v1", "resource": HOSTILE, "subresource": HOSTILE, "path": HOSTILE,
        "kubevirt_verb": HOSTILE, "kubevirt_resource": HOSTILE, "code": HOSTILE, "reason": "",
        "answered": answered, "closed": answered, "cut_short": 0, "request_bytes": 0,
        "response_bytes": 0, "to_head": durations, "to_end": durations,
    })
}

fn snapshot(answered: u64) -> Value {
    json!({
        "schema": "kubetoll.snapshot/1", "taken": "2026-01-01T00:00:00Z", "overflowed": 0,
        "proxy": {
            "instance": HOSTILE, "started": "2026-01-01T00:00:00Z", "version": HOSTILE,
            "component": HOSTILE, "upstream": HOSTILE,
        },
        "rows": [row(answered)], "calls": [],
    })
}

fn record(dir: &Path) -> Value {
    let run = [
        "run",
        "vmi",
        "--count",
        "2",
        "--pause",
        "1ms",
        "--baseline",
        "0s",
        "--no-primer",
        "--results-dir",
        "good",
    ];
    assert!(kubetoll(dir, &run).output().unwrap().status.success());
    let text = fs::read(dir.join("good/record.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Writes `hostile.json`, a record, and `audit.log`.
fn write_hostile(dir: &Path) {
    let mut hostile = record(dir);
    spoil(&mut hostile);
    fs::write(dir.join("hostile.json"), hostile.to_string()).unwrap();
    let event = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": HOSTILE,
        "stage": "ResponseComplete", "verb": HOSTILE, "user": {"username": HOSTILE},
        "requestURI": "/api/v1/%1b%5b2J%0akubetoll:%20forged", "userAgent": HOSTILE,
        "responseStatus": {"code": 200}, "requestReceivedTimestamp": hostile["started"],
        "stageTimestamp": hostile["started"],
    });
    let unknown = json!({"stage": HOSTILE, "level": HOSTILE, "requestReceivedTimestamp": HOSTILE});
    fs::write(dir.join("audit.log"), format!("{event}\n{unknown}\n")).unwrap();
}

#[test]
fn a_record_and_a_log_with_hostile_names_are_shown_harmlessly() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_hostile(dir);
    let shown = [
        said(dir, &["verify", "hostile.json", "audit.log"]),
        said(
            dir,
            &["verify", "hostile.json", "audit.log", "--output", "json"],
        ),
        said(dir, &["audit", "audit.log"]),
        said(dir, &["audit", "audit.log", "--output", "json"]),
        said(
            dir,
            &["compare", "good/record.json", "hostile.json", "--all"],
        ),
        said(
            dir,
            &[
                "compare",
                "good/record.json",
                "hostile.json",
                "--output",
                "markdown",
            ],
        ),
        said(
            dir,
            &[
                "compare",
                "good/record.json",
                "hostile.json",
                "--output",
                "json",
            ],
        ),
        said(
            dir,
            &["report", "hostile.json", "--form", "md", "--out", "-"],
        ),
    ];
    for text in shown {
        assert!(text.contains("forged"), "the names are shown: {text}");
    }
    said(
        dir,
        &[
            "compare",
            "good/record.json",
            "hostile.json",
            "--output",
            "junit",
        ],
    );
    for file in ["r.html", "r.md", "r.json", "r.xml"] {
        said(dir, &["report", "hostile.json", "--out", file]);
        let text = fs::read_to_string(dir.join(file)).unwrap();
        is_harmless(file, &text);
        assert!(
            !text.contains("<img src=q>") || file == "r.json",
            "{file}: {text}"
        );
    }
    let text = fs::read_to_string(dir.join("r.md")).unwrap();
    assert!(text.contains("forged\\|&lt;img src=q>\\[a]"), "{text}");
}

/// What can't be read is complained about in words of its own.
#[test]
fn a_file_that_is_no_record_makes_no_line() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("audit.log"), "").unwrap();
    fs::write(
        dir.join("no.json"),
        json!({"schema": HOSTILE, "origin": HOSTILE}).to_string(),
    )
    .unwrap();
    said(dir, &["verify", "no.json", "audit.log"]);
    said(dir, &["runs", "import", "no.json"]);
}

/// An admin port that gives each request what `answer` says of its first line.
async fn admin_port(answer: fn(&str) -> (u16, String)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 16 << 10];
            let count = stream.read(&mut head).await.unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..count]).into_owned();
            let (status, body) = answer(head.lines().next().unwrap_or_default());
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
            );
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
    });
    url
}

fn books(line: &str) -> (u16, String) {
    let body = match line.split(' ').next() {
        Some("PUT") => snapshot(1),
        Some("DELETE") => json!({
            "snapshot": snapshot(6), "objects": [], "objects_lost": 0, "journal": [],
            "journal_lost": 0,
        }),
        _ if line.contains("/runs/") => json!({"snapshot": snapshot(6), "in_namespace": 5}),
        _ => snapshot(1),
    };
    (200, body.to_string())
}

/// The command, on a thread that may wait.
async fn said_of(dir: &Path, arguments: &[&str]) -> String {
    let dir = dir.to_owned();
    let arguments: Vec<_> = arguments.iter().map(|&one| one.to_owned()).collect();
    let work = tokio::task::spawn_blocking(move || {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        said(&dir, &arguments)
    });
    work.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_admin_port_says_nothing_to_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let proxy = admin_port(books).await;
    for output in ["text", "json"] {
        let measure = [
            "measure",
            "--proxy",
            &proxy,
            "--settle",
            "100ms",
            "--output",
            output,
            "--results-dir",
            "out",
            "--",
            "true",
        ];
        let text = said_of(dir, &measure).await;
        assert!(text.contains("forged"), "{text}");
    }
    let text = fs::read_to_string(dir.join("out/record.json")).unwrap();
    is_harmless("record.json", &text);
    let kept: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        kept["proxies"][0]["closed"]["snapshot"]["rows"][0]["user"],
        HOSTILE
    );
    for answer in [
        (|_: &str| (409, HOSTILE.to_owned())) as fn(&str) -> (u16, String),
        |_| (500, HOSTILE.to_owned()),
        |_| {
            (
                200,
                json!({"schema": HOSTILE, "taken": HOSTILE}).to_string(),
            )
        },
    ] {
        let proxy = admin_port(answer).await;
        let text = said_of(dir, &["measure", "--proxy", &proxy, "--", "true"]).await;
        assert!(
            text.contains("forged") || text.contains("not what"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_api_server_says_nothing_to_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "message": HOSTILE,
        "reason": HOSTILE, "details": {"name": HOSTILE, "kind": HOSTILE},
    });
    let body = status.to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let server = Upstream::answering(answer.leak().as_bytes()).await;
    let token = Credential::Token("t".to_owned());
    let config = kubeconfig(&server.url, server.ca_pem.as_bytes(), &token);
    fs::write(dir.path().join("config"), config.to_string()).unwrap();
    for command in [
        &["status"][..],
        &["detach"],
        &["attach", "--image", "a"],
        &["run", "vmi", "--proxy", "http://127.0.0.1:1"],
        &["measure", "--", "true"],
    ] {
        let (name, rest) = command.split_first().unwrap();
        let arguments = [&[*name, "--kubeconfig", "config"][..], rest].concat();
        let text = said_of(dir.path(), &arguments).await;
        assert!(text.contains("forged"), "{command:?}: {text}");
    }
}

/// Runs it with a standard stream that nobody reads.
fn unread(command: &mut Command, is_output: bool) -> (Option<i32>, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    if is_output {
        drop(child.stdout.take());
    } else {
        drop(child.stderr.take());
    }
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_stream_that_nobody_reads_ends_no_command_and_loses_no_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (code, said) = unread(&mut kubetoll(dir, &["completions", "bash"]), true);
    assert_eq!(code, Some(0), "{said}");
    let authority = Authority::new("nobody").unwrap();
    let token = Credential::Token("t".to_owned());
    let ca = authority.certificate_pem();
    let config = kubeconfig("https://127.0.0.1:1", ca.as_bytes(), &token);
    fs::write(dir.join("config"), config.to_string()).unwrap();
    let exec = [
        "exec",
        "--allow-no-calls",
        "--no-store",
        "--kubeconfig",
        "config",
        "--",
        "true",
    ];
    assert_eq!(unread(&mut kubetoll(dir, &exec), false).0, Some(0));
    let run = [
        "run",
        "vmi",
        "--count",
        "2",
        "--pause",
        "1ms",
        "--baseline",
        "0s",
        "--no-primer",
        "--fail-on",
        "PATCH-pods>5%",
        "--job",
        "j",
    ];
    assert!(kubetoll(dir, &run).output().unwrap().status.code() != Some(101));
    assert_ne!(unread(&mut kubetoll(dir, &run), false).0, Some(101));
    let listed = kubetoll(dir, &["runs", "list", "--output", "json"]).output();
    let listed: Value = serde_json::from_slice(&listed.unwrap().stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
}
