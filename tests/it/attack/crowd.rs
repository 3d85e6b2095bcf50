//! The books against a hostile crowd: kubectl and client-go go on through the proxy while two
//! hundred attackers without a credential do what they can.

use std::{
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cluster::kubeconfig::Credential;
use driver::measure::{self, Plan};
use lab::real::RealCluster;
use record::{RunRecord, UNAUTHENTICATED, UNPROVEN};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::credentials::prove;
use crate::{
    kit::{
        client::Target,
        crowd::{Crowd, WORD},
        proxy::ProxyProcess,
        watch::until,
    },
    support::{real, wire::LONGEST},
};

const ATTACKERS: u64 = 200;
/// Workers of the client-go program, and kubectl beside them.
const WORKERS: &str = "16";
const KUBECTLS: usize = 4;
/// By how much the proxy's memory may have grown when the crowd is gone.
const GROWTH_KIB: u64 = 20 << 10;

fn plan() -> Plan {
    Plan {
        id: "crowd".to_owned(),
        scenario: "crowd".to_owned(),
        namespace: String::new(),
        journal: true,
        pairs: None,
        lease: Duration::from_secs(600),
        silence: Duration::from_millis(500),
        settle_longest: Duration::from_secs(60),
    }
}

/// Asks a probe's page over and over until `stop`; how often, and each time it was answered.
async fn probe(address: String, stop: CancellationToken, asked: Arc<AtomicU64>) {
    while !stop.is_cancelled() {
        let answer = timeout(LONGEST, async {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        });
        let answer = answer.await.expect("the probe is answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        asked.fetch_add(1, Ordering::Relaxed);
        // Probes come at a pace.
        sleep(Duration::from_millis(100)).await;
    }
}

/// client-go and kubectl, twenty at once, with a good credential.
async fn honest(cluster: &RealCluster, proxy: &ProxyProcess, requests: usize) {
    let kubeconfig = cluster
        .write_kubeconfig_for(
            "honest.kubeconfig",
            &proxy.url,
            &proxy.authority.certificate_pem(),
            &Credential::Token(cluster.admin_token().to_owned()),
        )
        .unwrap();
    let mut kubectls = JoinSet::new();
    for number in 0..KUBECTLS {
        let (program, kubeconfig) = (cluster.assets().kubectl(), kubeconfig.clone());
        kubectls.spawn(async move {
            for verb in ["create", "get", "delete"] {
                let output: Output = Command::new(&program)
                    .arg("--kubeconfig")
                    .arg(&kubeconfig)
                    .args([verb, "configmap", &format!("honest-{number}")])
                    .output()
                    .await
                    .unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{verb}: {said}");
            }
        });
    }
    let storm = Command::new(real::program("storm").unwrap())
        .arg("-kubeconfig")
        .arg(&kubeconfig)
        .args(["-requests", &requests.to_string(), "-workers", WORKERS])
        .status();
    assert!(storm.await.unwrap().success());
    while let Some(done) = kubectls.join_next().await {
        done.unwrap();
    }
}

/// No row is named after what an attacker says: not of itself, and not of what it asks for.
fn nothing_is_made_up(record: &RunRecord) {
    for row in record.rows() {
        let call = &row.call;
        let named = [
            &row.component,
            &row.user,
            &call.verb,
            &call.group,
            &call.version,
            &call.resource,
            &call.subresource,
        ];
        let is_made_up = |name: &&&String| name.to_lowercase().contains(WORD);
        assert!(!named.iter().any(|name| is_made_up(&name)), "{row:#?}");
        assert_ne!(row.component, "virt-controller", "{row:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_crowd_leaves_no_trace_in_anybodys_books() {
    identity::install_provider();
    let Some(assets) = real::assets() else {
        return;
    };
    let cluster = RealCluster::start(assets, &[]).await.unwrap();
    let proxy = ProxyProcess::start(&cluster.url(), &cluster.ca_pem());
    let before = proxy.memory_kib();
    let proxies = [proxy.admin.clone()];
    let opened = measure::open(&plan(), &proxies).await.unwrap();
    let (stop, asked) = (CancellationToken::new(), Arc::<AtomicU64>::default());
    let address = proxy.admin.url().trim_start_matches("http://").to_owned();
    let probing = tokio::spawn(probe(address, stop.clone(), Arc::clone(&asked)));
    let target = Target::new(&proxy.url, &proxy.authority);
    let crowd = Crowd::start(&target, ATTACKERS, Duration::from_millis(500));
    honest(&cluster, &proxy, super::scaled(1_000)).await;
    // The crowd goes on meanwhile, and keeps the run from nothing.
    let record = measure::close(&plan(), opened, &proxies, None)
        .await
        .unwrap();
    let attacks = crowd.stop().await;
    stop.cancel();
    probing.await.unwrap();
    let asked = asked.load(Ordering::Relaxed);
    assert!(attacks >= ATTACKERS && asked > 5, "{attacks} {asked}");
    nothing_is_made_up(&record);
    let nobodys = |row: &&_| {
        let row: &record::RowRecord = row;
        [UNAUTHENTICATED, UNPROVEN].contains(&row.component.as_str())
    };
    let counted: u64 = record.rows().filter(nobodys).map(|row| row.answered).sum();
    println!("{attacks} attacks, {counted} of them requests, {asked} probes answered");
    assert!(counted > 0);
    prove(&record, &cluster);
    let shrunk = || proxy.memory_kib() < before + GROWTH_KIB;
    let shrunk = until(LONGEST, shrunk).await.is_some();
    let after = proxy.memory_kib();
    println!("memory of the proxy: {before} KiB, then {after} KiB");
    assert!(shrunk, "{before} KiB, then {after} KiB");
}
