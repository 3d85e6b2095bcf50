//! The proof: a storm of requests through the proxy, on a real kube-apiserver, and its audit log
//! against the books, request by request.

use std::{path::Path, time::Duration};

use cluster::kubeconfig::Credential;
use driver::measure::{self, Plan};
use lab::real::RealCluster;
use record::{RunRecord, Verification};
use tokio::process::Command;
use verify::audit::{AuditEntry, AuditReader, verify};

use crate::support::{proxy::TestProxy, real};

fn plan() -> Plan {
    Plan {
        id: "storm".to_owned(),
        scenario: "storm".to_owned(),
        namespace: String::new(),
        journal: true,
        pairs: None,
        lease: Duration::from_secs(600),
        silence: Duration::from_millis(500),
        settle_longest: Duration::from_secs(60),
    }
}

fn read_log(path: &Path) -> Vec<AuditEntry> {
    let log = std::fs::read(path).unwrap();
    let mut reader = AuditReader::default();
    let mut entries = Vec::new();
    for line in log.split(|&byte| byte == b'\n') {
        reader.line(line, |entry| entries.push(entry)).unwrap();
    }
    entries
}

fn explain(found: &Verification) -> String {
    report::text::verification(found)
}

/// Runs kubectl through the proxy; what it answers is not of interest here.
async fn kubectl(cluster: &RealCluster, kubeconfig: &Path, arguments: &[&str]) {
    let output = Command::new(cluster.assets().kubectl())
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(arguments)
        .output()
        .await
        .unwrap();
    assert!(output.status.code().is_some(), "{arguments:?}");
}

async fn storm(cluster: &RealCluster, proxy: &TestProxy, requests: u32) -> RunRecord {
    let kubeconfig = cluster
        .write_kubeconfig_for(
            "through.kubeconfig",
            &proxy.url,
            &proxy.authority.certificate_pem(),
            &Credential::Token(cluster.admin_token().to_owned()),
        )
        .unwrap();
    let proxies = [proxy.admin.clone()];
    let opened = measure::open(&plan(), &proxies).await.unwrap();
    let program = real::program("storm").unwrap();
    let storm = Command::new(program)
        .arg("-kubeconfig")
        .arg(&kubeconfig)
        .args(["-requests", &requests.to_string(), "-namespace", "storm"])
        .status();
    let by_hand = async {
        for arguments in [
            &["get", "namespaces"][..],
            &["create", "configmap", "by-hand", "--from-literal=a=b"],
            &["get", "configmap", "by-hand", "-o", "yaml"],
            &["label", "configmap", "by-hand", "x=y"],
            &["get", "pods", "-A", "--watch", "--request-timeout=1s"],
            &["delete", "configmap", "by-hand"],
            &["get", "configmap", "by-hand"],
            &["exec", "nobody", "--", "true"],
            &["get", "--raw", "/healthz"],
        ] {
            kubectl(cluster, &kubeconfig, arguments).await;
        }
    };
    let (storm, ()) = tokio::join!(storm, by_hand);
    assert!(storm.unwrap().success());
    measure::close(&plan(), opened, &proxies, None)
        .await
        .unwrap()
}

/// How many requests: few in the suite, more when it is asked for.
fn requests() -> u32 {
    std::env::var("KUBETOLL_STORM_REQUESTS").map_or(3_000, |requests| requests.parse().unwrap())
}

/// Runs a storm on an API server with these flags, and compares.
async fn prove(flags: &[String]) -> Option<(RunRecord, Verification)> {
    identity::install_provider();
    let cluster = RealCluster::start(real::assets()?, flags).await.unwrap();
    let proxy = TestProxy::start(&cluster.url(), &cluster.ca_pem()).await;
    let record = storm(&cluster, &proxy, requests()).await;
    assert!(record.is_valid(), "{:?}", record.checks);
    let found = verify(&record, &read_log(&cluster.audit_log()));
    println!("{}", explain(&found));
    assert!(found.by_request && found.overlaps);
    assert_eq!(found.unexplained_count, 0, "{}", explain(&found));
    assert!(
        found.equal > u64::from(requests()) * 9 / 10,
        "{}",
        explain(&found)
    );
    proxy.stop().await;
    Some((record, found))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_a_storm_is_in_the_books_and_in_the_audit_log() {
    prove(&[]).await;
}

/// kube-apiserver closes connections at random, as it does to spread its clients: what it did not
/// look at is sent again, and the comparison shows that nothing is done twice. Only where a body
/// of megabytes is still on its way can the close reach the proxy before the GOAWAY does, as it
/// can without a proxy: those few requests have no answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_goaway_all_the_time_loses_and_doubles_nothing() {
    let Some((record, _)) = prove(&["--goaway-chance=0.02".to_owned()]).await else {
        return;
    };
    let unanswered: Vec<_> = record
        .rows()
        .filter_map(|row| Some((&row.call, row.outcome.reason()?, row.answered)))
        .filter(|(_, reason, _)| *reason != "client_gone")
        .collect();
    let count: u64 = unanswered.iter().map(|(_, _, count)| count).sum();
    assert!(count <= u64::from(requests()) / 500, "{unanswered:#?}");
}
