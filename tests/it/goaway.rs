//! Large bodies on a kube-apiserver that closes connections at random (`--goaway-chance`): none is
//! lost that would not be lost without a proxy, and none is done twice.

use std::{path::Path, process::Stdio, sync::atomic::Ordering};

use cluster::kubeconfig::Credential;
use lab::real::RealCluster;
use serde_json::Value;
use tokio::process::Command;

use crate::support::{
    proxy::TestProxy,
    real,
    wire::{books, counted},
};

/// Creates ConfigMaps with client-go.
async fn create(program: &Path, kubeconfig: &Path, prefix: &str, count: u64, bytes: u64) -> Value {
    let output = Command::new(program)
        .arg("-kubeconfig")
        .arg(kubeconfig)
        .args(["-prefix", prefix, "-workers", "20"])
        .args(["-count", &count.to_string(), "-bytes", &bytes.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How many creations of ConfigMaps with such a name the audit log has.
fn audited(cluster: &RealCluster, prefix: &str) -> usize {
    let log = std::fs::read_to_string(cluster.audit_log()).unwrap();
    let events = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let created = events.filter(|event: &Value| {
        let name = event["objectRef"]["name"].as_str().unwrap_or_default();
        event["verb"] == "create"
            && event["objectRef"]["resource"] == "configmaps"
            && event["responseStatus"]["code"] == 201
            && name.starts_with(prefix)
    });
    created.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_megabytes_are_sent_again_and_counted_once() {
    let (Some(assets), Some(program)) = (real::assets(), real::program("configmaps")) else {
        return;
    };
    identity::install_provider();
    let flags = ["--goaway-chance=0.02".to_owned()];
    let cluster = RealCluster::start(assets, &flags).await.unwrap();
    let proxy = TestProxy::start(&cluster.url(), &cluster.ca_pem()).await;
    let token = Credential::Token(cluster.admin_token().to_owned());
    let kubeconfig = |name: &str, url: &str, ca: &str| {
        cluster.write_kubeconfig_for(name, url, ca, &token).unwrap()
    };
    let direct = kubeconfig("direct", &cluster.url(), &cluster.ca_pem());
    let ca_pem = proxy.authority.certificate_pem();
    let through = kubeconfig("through", &proxy.url, &ca_pem);
    let mut created = 0;
    // A ConfigMap has at most 1 MiB.
    for (size, count, bytes) in [("small", 1_000, 100 << 10), ("large", 100, 1_000 << 10)] {
        let way = |way: &str| format!("{way}-{size}");
        let without = create(&program, &direct, &way("direct"), count, bytes).await;
        let with = create(&program, &through, &way("through"), count, bytes).await;
        println!("directly {without}, through the proxy {with}");
        let failed = |found: &Value| found["failed"].as_u64().unwrap();
        assert!(failed(&with) <= failed(&without), "{with} {without}");
        created += with["created"].as_u64().unwrap();
        // The answer to a request that failed may have been lost.
        if failed(&with) == 0 {
            assert_eq!(audited(&cluster, &way("through")) as u64, count);
        }
    }
    let counters = proxy.counters();
    let repeated = counters.repeated.load(Ordering::Relaxed);
    println!("{repeated} requests were sent again");
    assert!(counters.upstream_opened.load(Ordering::Relaxed) > 2);
    assert_eq!(counters.bodies_not_kept.load(Ordering::Relaxed), 0);
    let books = books(&proxy).await;
    let creations = counted(&books, |call| call.resource == "configmaps");
    let done = creations.iter().find(|(code, ..)| code == "201").unwrap();
    assert_eq!(done.2, created, "{creations:?}");
    proxy.stop().await;
}
