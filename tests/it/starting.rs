//! How `kubetoll-proxy` starts: what it listens on, what is wrong with its options, and what a
//! restart means for who measures.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use record::{BooksKept, FailureReason, RunRecord};

use crate::{
    cli::{kubetoll, run, said},
    kit::built::kubetoll_proxy,
    support::lines::assert_line,
};

/// A proxy with fixed ports, so that it can be started again.
struct ProxyProcess {
    child: Child,
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn make_certs(dir: &Path) {
    let made = run(kubetoll().arg("certs").arg("--out").arg(dir), b"");
    assert_eq!(made.status.code(), Some(0));
}

fn start_proxy(certs: &Path, listen: u16, admin: u16) -> ProxyProcess {
    let mut child = Command::new(kubetoll_proxy())
        .args(["--upstream", "https://127.0.0.1:1", "--log-format", "json"])
        .args(["--listen", &format!("127.0.0.1:{listen}")])
        .args(["--admin", &format!("127.0.0.1:{admin}")])
        .arg("--upstream-ca")
        .arg(certs.join("ca.crt"))
        .arg("--tls-cert")
        .arg(certs.join("tls.crt"))
        .arg("--tls-key")
        .arg(certs.join("tls.key"))
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("\"ready\"")));
    ProxyProcess { child }
}

#[test]
fn a_proxy_that_is_restarted_makes_the_measurement_invalid() {
    let dir = tempfile::tempdir().unwrap();
    make_certs(dir.path());
    let (listen, admin) = (free_port(), free_port());
    let url = format!("http://127.0.0.1:{admin}");
    let measure = |arguments: &[&str]| {
        let mut command = kubetoll();
        command.arg("measure").args(arguments);
        run(command.env("XDG_STATE_HOME", dir.path()), b"")
    };
    let proxy = start_proxy(dir.path(), listen, admin);
    let started = measure(&["start", "by-hand", "--proxy", &url]);
    assert_eq!(started.status.code(), Some(0), "{}", said(&started));
    drop(proxy);
    // Away is not lost: it can be closed later.
    let away = measure(&["stop", "by-hand"]);
    assert_eq!(away.status.code(), Some(1), "{}", said(&away));
    let proxy = start_proxy(dir.path(), listen, admin);
    let results = dir.path().join("results");
    let stopped = measure(&[
        "stop",
        "by-hand",
        "--results-dir",
        results.to_str().unwrap(),
    ]);
    assert_eq!(stopped.status.code(), Some(4), "{}", said(&stopped));
    let lost = format!(
        "kubetoll: the proxy at {url} lost the run, so that its counts are not valid: no run by-hand is \
         open on these books"
    );
    assert_line(&said(&stopped), &lost);
    assert_line(&said(&stopped), "kept as by-hand-… in the history …");
    let text = String::from_utf8_lossy(&stopped.stdout);
    assert_line(&text, "THE RUN FAILED: a proxy lost the run");
    assert_line(&text, lost.trim_start_matches("kubetoll: "));
    assert_line(&text, "THE COUNTS ARE NOT VALID");
    let record = std::fs::read(results.join("record.json")).unwrap();
    let record: RunRecord = serde_json::from_slice(&record).unwrap();
    assert!(!record.is_valid());
    let failure = record.failure.unwrap();
    assert_eq!(
        (failure.reason, failure.books),
        (FailureReason::ProxyLost, BooksKept::LastKnown)
    );
    let again = measure(&["stop", "by-hand"]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    // A bad file is told before the command is run.
    let mark = dir.path().join("ran");
    let refused = measure(&[
        "--proxy",
        &url,
        "--thresholds",
        "Cargo.toml",
        "--",
        "touch",
        mark.to_str().unwrap(),
    ]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!mark.exists());
    stops_its_command(&url);
    drop(proxy);
}

/// SIGTERM, as from a time limit, doesn't leave the command behind.
fn stops_its_command(proxy: &str) {
    let began = Instant::now();
    let mut child = kubetoll()
        .args(["measure", "--proxy", proxy, "--", "sh", "-c"])
        .arg("trap 'echo ended; exit 0' TERM; echo begun; while :; do sleep 0.1; done")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(output.next().unwrap().unwrap(), "begun");
    let id = child.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    assert_eq!(output.next().unwrap().unwrap(), "ended");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn everything_that_is_wrong_with_a_proxys_start_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("proxy.yaml");
    std::fs::write(
        &file,
        "listen: anywhere\nadmin: 0.0.0.0:0\nthreads: many\ndrain: -1s\nlog-format: xml\nlistne: x\nupstream: https://127.0.0.1:1\nupstream-ca: /nowhere/ca\ntls-cert: /nowhere/crt\ncomponent: \"a b\"\n",
    )
    .unwrap();
    let start = || {
        let mut command = Command::new(kubetoll_proxy());
        run(command.arg("--config").arg(&file), b"")
    };
    let output = start();
    assert_eq!(output.status.code(), Some(2));
    for wrong in [
        "--config: there is no option \"listne\"",
        "--listen \"anywhere\": write HOST:PORT, such as 127.0.0.1:6443, [::1]:6443 or localhost:6443, or :PORT for all addresses",
        "--tls-key FILE is missing",
        "--upstream-ca: cannot read /nowhere/ca: No such file or directory (os error 2)",
        "--admin is not a loopback address: give --admin-token-file, since /snapshot and /runs tell names of objects",
        "--drain: a duration can't be negative",
        "--component must be a name without spaces",
        "--threads \"many\": invalid digit found in string",
        "--log-format: text or json",
    ] {
        assert_line(&said(&output), &format!("kubetoll-proxy: {wrong}"));
    }
    std::fs::write(&file, "listen: [\n").unwrap();
    let output = start();
    assert_eq!(output.status.code(), Some(2));
    let bad = format!(
        "kubetoll-proxy: --config {}: error: line 1 column 9: unclosed bracket '['",
        file.display()
    );
    assert_line(&said(&output), &bad);
}

#[test]
fn a_proxy_listens_on_names_and_on_all_addresses_and_its_log_in_a_file_is_plain_text() {
    let dir = tempfile::tempdir().unwrap();
    make_certs(dir.path());
    let (listen, admin) = (free_port(), free_port());
    let mut child = Command::new(kubetoll_proxy())
        .args([
            "--listen",
            &format!(":{listen}"),
            "--admin",
            &format!("localhost:{admin}"),
        ])
        .args(["--upstream", "https://127.0.0.1:1", "--log-format", "text"])
        .arg("--upstream-ca")
        .arg(dir.path().join("ca.crt"))
        .arg("--tls-cert")
        .arg(dir.path().join("tls.crt"))
        .arg("--tls-key")
        .arg(dir.path().join("tls.key"))
        .env_remove("RUST_LOG")
        .env_remove("NO_COLOR")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    let proxy = ProxyProcess { child };
    let mut lines = Vec::new();
    for line in log.map(Result::unwrap) {
        lines.push(line);
        let all = lines.concat();
        if all.contains(": ready ") && all.contains("the API server is not reached") {
            break;
        }
    }
    let ready = lines.iter().find(|line| line.contains(": ready "));
    let ready = ready.unwrap();
    let addresses = format!("admin=127.0.0.1:{admin} upstream=https://127.0.0.1:1");
    assert!(ready.ends_with(&addresses), "{ready}");
    let text = lines.join("\n");
    assert_line(
        &text,
        "…Z  WARN proxy::upstream::dial: the API server is not reached reason=\"connect\" error=cannot \
         reach 127.0.0.1:1: tcp connect error: Connection refused (os error 111)",
    );
    assert!(!text.contains('\u{1b}'), "{text:?}");
    for port in [listen, admin] {
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }
    drop(proxy);
}
