//! `exec`, `measure`, `certs`, `kubeconfig` and `kubetoll-proxy` as a user has them, with kubectl
//! and client-go on a real kube-apiserver.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cluster::kubeconfig::Credential;
use lab::real::RealCluster;
use record::{Outcome, ResultRow, RunRecord, RunResult};

use crate::support::{history, lines::assert_line, process::ProxyProcess, real};

fn kubetoll(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .args(arguments)
        .env_remove("KUBECONFIG")
        .env("KUBETOLL_STORE", history::scratch())
        .output()
        .unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn result(output: &Output) -> RunResult {
    // The command's own output comes first.
    let text = String::from_utf8_lossy(&output.stdout);
    let at = text.find("{\n  \"id\"").unwrap();
    serde_json::from_str(&text[at..]).unwrap()
}

fn count(result: &RunResult, verb: &str, resource: &str, code: &str) -> u64 {
    let is_code = |row: &ResultRow| row.outcome.to_string() == code;
    let rows = result
        .rows
        .iter()
        .filter(|row| row.call.verb == verb && row.call.resource == resource && is_code(row));
    rows.map(|row| row.count).sum()
}

async fn cluster() -> Option<RealCluster> {
    identity::install_provider();
    Some(RealCluster::start(real::assets()?, &[]).await.unwrap())
}

/// A kubeconfig as kind and kubeadm write it: the admin has a client certificate.
fn admin_kubeconfig(cluster: &RealCluster) -> PathBuf {
    let leaf = cluster
        .authority()
        .client("kubernetes-admin", "system:masters")
        .unwrap();
    let credential = Credential::Certificate {
        certificate_pem: leaf.certificate_pem,
        key_pem: leaf.key_pem,
    };
    let (url, ca) = (cluster.url(), cluster.ca_pem());
    cluster
        .write_kubeconfig_for("admin.kubeconfig", &url, &ca, &credential)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_counts_the_calls_of_kubectl_and_client_go_with_a_client_certificate() {
    let Some(cluster) = cluster().await else {
        return;
    };
    let (kubeconfig, kubectl) = (admin_kubeconfig(&cluster), cluster.assets().kubectl());
    let (kubeconfig, kubectl) = (kubeconfig.to_str().unwrap(), kubectl.to_str().unwrap());
    let exec = ["exec", "--kubeconfig", kubeconfig, "--output", "json"];
    let run = |budgets: &[&str], command: &[&str]| {
        let mut arguments = exec.to_vec();
        arguments.extend(budgets.iter().flat_map(|budget| ["--budget", budget]));
        arguments.push("--");
        arguments.extend(command);
        kubetoll(&arguments)
    };
    let create = [
        kubectl,
        "create",
        "configmap",
        "counted",
        "--from-literal=a=b",
    ];
    let created = run(
        &["CREATE-configmaps<=1", "CREATE-configmaps@201=1"],
        &create,
    );
    assert_eq!(created.status.code(), Some(0));
    assert_eq!(count(&result(&created), "create", "configmaps", "201"), 1);
    let again = run(&["CREATE-configmaps<=0"], &create);
    assert_eq!(
        again.status.code(),
        Some(1),
        "kubectl's own code comes first"
    );
    let again = result(&again);
    assert_eq!((again.exit_code, again.child_exit_code), (3, Some(1)));
    assert_eq!(count(&again, "create", "configmaps", "409"), 1);
    let exceeded = run(&["LIST-configmaps<=0"], &[kubectl, "get", "configmaps"]);
    assert_eq!(exceeded.status.code(), Some(3));
    let unknown = run(&["LIST-podz<=1"], &[kubectl, "get", "configmaps"]);
    assert_eq!(unknown.status.code(), Some(4), "a name that is none");
    let meant = &result(&unknown).budgets[0].meant;
    assert!(meant.starts_with("did you mean LIST-pod"), "{meant}");
    a_bill_of_one_line(kubeconfig, kubectl);
    let killed = run(&[], &["sh", "-c", "kill -TERM $$"]);
    assert_eq!(killed.status.code(), Some(128 + 15));
    exec_plugin(&cluster, kubectl);
    let storm = real::program("storm").unwrap();
    let script = format!(
        "{} -kubeconfig $KUBECONFIG -requests 300 -namespace s",
        storm.display()
    );
    let stormed = run(&[], &["sh", "-c", &script]);
    assert_eq!(stormed.status.code(), Some(0));
    assert!(
        result(&stormed)
            .rows
            .iter()
            .map(|row| row.count)
            .sum::<u64>()
            > 250
    );
    let stranger = run(&[], &["sh", "-c", &stranger_script(kubectl)]);
    assert_eq!(
        stranger.status.code(),
        Some(0),
        "another token must be refused"
    );
}

/// Of a command that makes few calls.
fn a_bill_of_one_line(kubeconfig: &str, kubectl: &str) {
    let exec = ["exec", "--kubeconfig", kubeconfig, "--", kubectl];
    let listed = kubetoll(&[&exec[..], &["get", "configmaps"]].concat());
    let bill = "What the calls cost: … ms of the API server's CPU, … tolls, by the prices of Kubernetes \
                v1.34.4 on …";
    assert_line(&String::from_utf8_lossy(&listed.stderr), bill);
}

/// A user whose token comes from a plugin, as on managed clusters.
fn exec_plugin(cluster: &RealCluster, kubectl: &str) {
    let dir = tempfile::tempdir().unwrap();
    let credential = serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": cluster.admin_token()},
    });
    let token = dir.path().join("credential.json");
    std::fs::write(&token, credential.to_string()).unwrap();
    let (url, ca) = (cluster.url(), cluster.ca_pem());
    let unused = Credential::Token(String::new());
    let mut config = cluster::kubeconfig::kubeconfig(&url, ca.as_bytes(), &unused);
    config["users"][0]["user"] = serde_json::json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "cat", "args": [token],
        "interactiveMode": "Never",
    }});
    let path = dir.path().join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    let path = path.to_str().unwrap();
    let listed = kubetoll(&[
        "exec",
        "--kubeconfig",
        path,
        "--output",
        "json",
        "--",
        kubectl,
        "get",
        "namespaces",
    ]);
    assert_eq!(listed.status.code(), Some(0));
    assert_eq!(count(&result(&listed), "list", "namespaces", "200"), 1);
}

/// Succeeds if a caller without the command's own token is refused.
fn stranger_script(kubectl: &str) -> String {
    format!(
        "cp $KUBECONFIG $KUBECONFIG.other && {kubectl} --kubeconfig $KUBECONFIG.other config \
         set-credentials kubetoll --token=guessed >/dev/null && \
         ! {kubectl} --kubeconfig $KUBECONFIG.other get namespaces"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn measure_opens_and_closes_the_books_of_a_running_proxy() {
    let Some(cluster) = cluster().await else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let certificates = dir.path().join("tls");
    let made = kubetoll(&["certs", "--out", certificates.to_str().unwrap()]);
    assert_eq!(made.status.code(), Some(0));
    let token = Credential::Token(cluster.admin_token().to_owned());
    let direct = cluster
        .write_kubeconfig_for(
            "token.kubeconfig",
            &cluster.url(),
            &cluster.ca_pem(),
            &token,
        )
        .unwrap();
    let upstream = format!("kubeconfig:{}", direct.display());
    let proxy = ProxyProcess::launch(&certificates, &["--upstream", &upstream]);
    let through = dir.path().join("through.kubeconfig");
    let ca = certificates.join("ca.crt");
    let rewritten = kubetoll(&[
        "kubeconfig",
        "--through",
        &proxy.url,
        "--ca",
        ca.to_str().unwrap(),
        "--kubeconfig",
        direct.to_str().unwrap(),
        "--out",
        through.to_str().unwrap(),
    ]);
    assert_eq!(rewritten.status.code(), Some(0));
    a_client_certificate_is_refused(&admin_kubeconfig(&cluster), &proxy.url, &ca);
    let kubectl = cluster.assets().kubectl();
    let command = [
        kubectl.to_str().unwrap(),
        "--kubeconfig",
        through.to_str().unwrap(),
        "get",
        "namespaces",
    ];
    let results = dir.path().join("results");
    let mut arguments = vec![
        "measure",
        "--proxy",
        &proxy.admin,
        "--journal",
        "--settle",
        "300ms",
        "--output",
        "json",
        "--results-dir",
        results.to_str().unwrap(),
        "--",
    ];
    arguments.extend(command);
    let measured = kubetoll(&arguments);
    assert_eq!(measured.status.code(), Some(0));
    assert_eq!(count(&result(&measured), "list", "namespaces", "200"), 1);
    let record = results.join("record.json");
    let log = cluster.audit_log();
    let verified = kubetoll(&["verify", record.to_str().unwrap(), log.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0));
    tampered_record_is_found(&record, &log);
    start_and_stop(&proxy, &command, dir.path());
}

/// It would end at the proxy.
fn a_client_certificate_is_refused(kubeconfig: &Path, through: &str, ca: &Path) {
    let (kubeconfig, ca) = (kubeconfig.to_str().unwrap(), ca.to_str().unwrap());
    let refused = kubetoll(&[
        "kubeconfig",
        "--through",
        through,
        "--ca",
        ca,
        "--kubeconfig",
        kubeconfig,
    ]);
    assert_eq!(refused.status.code(), Some(1));
}

/// A booking that is doubled, or whose code is changed, is an unexplained difference.
fn tampered_record_is_found(path: &Path, log: &Path) {
    let record: RunRecord = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut doubled = record.clone();
    let line = doubled.proxies[0].closed.journal[0].clone();
    doubled.proxies[0].closed.journal.push(line);
    let mut skipped = record.clone();
    skipped.proxies[0].closed.journal.pop();
    let mut other_code = record;
    other_code.proxies[0].difference[0].outcome = Outcome::Code(403);
    for tampered in [doubled, skipped, other_code] {
        let path = path.with_extension("tampered");
        std::fs::write(&path, serde_json::to_vec(&tampered).unwrap()).unwrap();
        let verified = kubetoll(&["verify", path.to_str().unwrap(), log.to_str().unwrap()]);
        assert_eq!(verified.status.code(), Some(3));
    }
}

fn start_and_stop(proxy: &ProxyProcess, command: &[&str], state: &Path) {
    let mark = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
            .arg("measure")
            .args(arguments)
            .env("XDG_STATE_HOME", state)
            .env("KUBETOLL_STORE", history::scratch())
            .output()
            .unwrap();
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        output
    };
    let started = mark(&["start", "by-hand", "--proxy", &proxy.admin]);
    assert_eq!(started.status.code(), Some(0));
    let twice = mark(&["start", "by-hand", "--proxy", &proxy.admin]);
    assert_eq!(twice.status.code(), Some(1));
    let busy = mark(&["start", "another", "--proxy", &proxy.admin]);
    assert_eq!(busy.status.code(), Some(1), "one run at a time");
    assert!(
        Command::new(command[0])
            .args(&command[1..])
            .status()
            .unwrap()
            .success()
    );
    let stopped = mark(&["stop", "by-hand", "--settle", "300ms", "--output", "json"]);
    assert_eq!(stopped.status.code(), Some(0));
    assert_eq!(count(&result(&stopped), "list", "namespaces", "200"), 1);
    // The name may be used again, and each time is a run of its own in the history.
    let said = String::from_utf8_lossy(&stopped.stderr).into_owned();
    let history = history::scratch();
    assert_line(
        &said,
        &format!("kept as by-hand-1… in the history {}", history.display()),
    );
    let unknown = mark(&["stop", "by-hand"]);
    assert_eq!(unknown.status.code(), Some(1));
}
