//! Tunnels of client-go's own executors and port forwarder, SPDY and WebSocket, and KubeVirt's
//! console, to a server that is composed of kube-apiserver's and the kubelet's handlers.

use std::{path::Path, time::Duration};

use cluster::kubeconfig::{Credential, kubeconfig, write_private};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use lab::real::RealCluster;
use record::Snapshot;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{podserver::PodServer, proxy::TestProxy, real};

/// Opens tunnels to `url` with client-go and gives what they come to.
async fn tunnels(dir: &Path, url: &str, ca_pem: &str, token: &str, arguments: &[&str]) -> String {
    let token = Credential::Token(token.to_owned());
    let config = kubeconfig(url, ca_pem.as_bytes(), &token);
    let path = dir.join("tunnels.kubeconfig");
    write_private(&path, config.to_string().as_bytes()).unwrap();
    let output = Command::new(real::program("tunnels").unwrap())
        .arg("-kubeconfig")
        .arg(&path)
        .args(arguments)
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server of pods, and a proxy in front of it.
struct Pods {
    server: PodServer,
    proxy: TestProxy,
}

impl Pods {
    async fn start() -> Option<Self> {
        let server = PodServer::start(&[]).await?;
        let proxy = TestProxy::start(&server.url, &server.authority.certificate_pem()).await;
        Some(Self { server, proxy })
    }

    /// Runs the client directly or through the proxy and gives what it prints.
    async fn run(&self, through: bool, arguments: &[&str]) -> String {
        let (url, authority) = if through {
            (&self.proxy.url, &self.proxy.authority)
        } else {
            (&self.server.url, &self.server.authority)
        };
        let dir = self.server.dir.path();
        tunnels(dir, url, &authority.certificate_pem(), "t", arguments).await
    }

    /// The books once nothing is in flight any more.
    async fn books(&self) -> Snapshot {
        let ends = tokio::time::Instant::now() + Duration::from_secs(15);
        loop {
            let books = self.proxy.admin.snapshot().await.unwrap();
            if books.calls.iter().all(|call| call.opened == call.closed) {
                return books;
            }
            assert!(tokio::time::Instant::now() < ends, "{:?}", books.calls);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn records(self) -> Value {
        self.proxy.stop().await;
        self.server.records().await
    }
}

fn assert_same(direct: &str, through: &str) {
    for (direct, through) in direct.lines().zip(through.lines()) {
        assert_eq!(direct, through);
    }
    assert_eq!(direct.lines().count(), through.lines().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_tunnel_does_the_same_directly_and_through_the_proxy() {
    let Some(pods) = Pods::start().await else {
        return;
    };
    let through = pods.run(true, &[]).await;
    assert_same(&pods.run(false, &[]).await, &through);
    let ok = through.lines().filter(|line| line.contains(": ok")).count();
    let refused = |line: &&str| line.contains("forbidden") || line.contains("not found");
    let refused = through.lines().filter(refused).count();
    assert_eq!((ok, refused), (15, 9), "{through}");
    pods.records().await;
}

/// A pod whose kubelet is that server.
async fn create_pod(cluster: &RealCluster, kubelet: &PodServer) {
    let client = cluster.admin_client().unwrap();
    let port = kubelet.url.rsplit(':').next().unwrap();
    let port: i32 = port.parse().unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let nodes: Api<Node> = Api::all(client.clone());
    let pods: Api<Pod> = Api::namespaced(client, "n");
    let post = PostParams::default();
    let namespace = json!({"metadata": {"name": "n"}});
    let namespace = serde_json::from_value(namespace).unwrap();
    namespaces.create(&post, &namespace).await.unwrap();
    let node = json!({"metadata": {"name": "node"}, "status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }});
    let node = serde_json::from_value(node).unwrap();
    nodes.create(&post, &node).await.unwrap();
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "nodeName": "node", "containers": [{"name": "c", "image": "i"}],
    }});
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&post, &pod).await.unwrap();
    let running = json!({"status": {"phase": "Running"}});
    let patch = PatchParams::default();
    pods.patch_status("p", &patch, &Patch::Merge(running))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server_and_the_kubelets_library_behind_it_notice_nothing() {
    let Some(kubelet) = PodServer::start(&["-kubelet"]).await else {
        return;
    };
    let cluster = RealCluster::start(real::assets().unwrap(), &[])
        .await
        .unwrap();
    let proxy = TestProxy::start(&cluster.url(), &cluster.ca_pem()).await;
    create_pod(&cluster, &kubelet).await;
    let (dir, token) = (kubelet.dir.path(), cluster.admin_token());
    let direct = tunnels(dir, &cluster.url(), &cluster.ca_pem(), token, &[]).await;
    let ca = proxy.authority.certificate_pem();
    let through = tunnels(dir, &proxy.url, &ca, token, &[]).await;
    assert_same(&direct, &through);
    let ok = through.lines().filter(|line| line.contains(": ok")).count();
    assert_eq!(ok, 14, "{through}");
    proxy.stop().await;
}

/// Closing frames that one end may still send while the other is gone already, per tunnel.
const CLOSING_BYTES: u64 = 64;

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_at_once_and_one_after_the_other_are_booked_to_the_byte() {
    let Some(pods) = Pods::start().await else {
        return;
    };
    let at_once: u64 = std::env::var("KUBETOLL_TUNNELS").map_or(35, |count| count.parse().unwrap());
    let one_by_one = 10 * at_once;
    for (count, parallel) in [(at_once, at_once), (one_by_one, 1)] {
        let arguments = [
            "-count",
            &count.to_string(),
            "-parallel",
            &parallel.to_string(),
        ];
        let said: Value = serde_json::from_str(&pods.run(true, &arguments).await).unwrap();
        assert_eq!(said["failed"], Value::Array(vec![]));
    }
    let books = pods.books().await;
    let records = pods.records().await;
    let records = records.as_object().unwrap();
    let upgraded: u64 = records
        .values()
        .map(|record| number(record, "upgraded"))
        .sum();
    assert_eq!(upgraded, at_once + one_by_one);
    for (subresource, record) in records {
        let rows = || {
            let rows = books
                .rows
                .iter()
                .filter(|row| row.outcome.code() == Some(101));
            rows.filter(|row| row.call.subresource == *subresource)
        };
        let tunnels = rows().map(|row| row.answered).sum::<u64>();
        assert_eq!(tunnels, number(record, "upgraded"), "{subresource}");
        let closing = if subresource == "console" {
            0
        } else {
            tunnels * CLOSING_BYTES
        };
        let received = rows().map(|row| row.request_bytes).sum::<u64>();
        let sent = rows().map(|row| row.response_bytes).sum::<u64>();
        let near = |booked: u64, name| booked.abs_diff(number(record, name)) <= closing;
        assert!(
            near(received, "received") && near(sent, "sent"),
            "{subresource}: {received} {sent} {record}"
        );
    }
}

fn number(record: &Value, name: &str) -> u64 {
    record[name].as_u64().unwrap()
}
