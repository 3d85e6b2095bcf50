//! Tunnels of client-go's own executors and port forwarder, SPDY and WebSocket, and KubeVirt's
//! console, to a server that is composed of kube-apiserver's and the kubelet's handlers.

use std::{path::PathBuf, process::Stdio, time::Duration};

use kubetoll::{
    identity::{
        kubeconfig::{Credential, kubeconfig, write_private},
        mint::Authority,
    },
    record::Snapshot,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

use crate::support::{proxy::TestProxy, real};

/// A server of exec, attach, port-forward and console, a proxy in front of it, and a client.
struct Pods {
    dir: TempDir,
    server: Child,
    said: BufReader<ChildStdout>,
    url: String,
    authority: Authority,
    proxy: TestProxy,
    client: PathBuf,
}

impl Pods {
    async fn start() -> Option<Self> {
        let (podserver, client) = (real::program("podserver")?, real::program("tunnels")?);
        kubetoll::identity::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("pods").unwrap();
        let leaf = authority
            .serving("pods", &["127.0.0.1".to_owned()])
            .unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            write_private(&path, text.as_bytes()).unwrap();
            path
        };
        let mut server = Command::new(podserver)
            .arg("-certificate")
            .arg(file("tls.crt", &leaf.certificate_pem))
            .arg("-key")
            .arg(file("tls.key", &leaf.key_pem))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(server.stdout.take().unwrap());
        let mut url = String::new();
        said.read_line(&mut url).await.unwrap();
        let url = url.trim().to_owned();
        let proxy = TestProxy::start(&url, &authority.certificate_pem()).await;
        Some(Self {
            dir,
            server,
            said,
            url,
            authority,
            proxy,
            client,
        })
    }

    /// Runs the client directly or through the proxy and gives what it prints.
    async fn run(&self, through: bool, arguments: &[&str]) -> String {
        let (url, authority) = if through {
            (&self.proxy.url, &self.proxy.authority)
        } else {
            (&self.url, &self.authority)
        };
        let token = Credential::Token("t".to_owned());
        let config = kubeconfig(url, authority.certificate_pem().as_bytes(), &token);
        let path = self.dir.path().join(format!("{through}.kubeconfig"));
        write_private(&path, config.to_string().as_bytes()).unwrap();
        let output = Command::new(&self.client)
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

    /// Ends the server and gives its records of upgraded connections.
    async fn records(mut self) -> Value {
        drop(self.server.stdin.take());
        let mut records = String::new();
        self.said.read_to_string(&mut records).await.unwrap();
        self.proxy.stop().await;
        serde_json::from_str(&records).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_tunnel_does_the_same_directly_and_through_the_proxy() {
    let Some(pods) = Pods::start().await else {
        return;
    };
    let direct = pods.run(false, &[]).await;
    let through = pods.run(true, &[]).await;
    for (direct, through) in direct.lines().zip(through.lines()) {
        assert_eq!(direct, through);
    }
    assert_eq!(direct.lines().count(), through.lines().count());
    let ok = through.lines().filter(|line| line.contains(": ok")).count();
    let refused = |line: &&str| line.contains("forbidden") || line.contains("not found");
    let refused = through.lines().filter(refused).count();
    assert_eq!((ok, refused), (15, 9), "{through}");
    pods.records().await;
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
            let rows = books.rows.iter().filter(|row| row.code == "101");
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
