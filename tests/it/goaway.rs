//! Large bodies on a kube-apiserver that closes connections at random (`--goaway-chance`): none is
//! lost that would not be lost without a proxy, and none is done twice.

use std::{
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
};

use cluster::kubeconfig::Credential;
use http::StatusCode;
use lab::real::RealCluster;
use serde_json::Value;
use tokio::{process::Command, sync::mpsc};

use crate::support::{
    caller::Caller,
    http2::{DATA, END_STREAM, Frame, GOAWAY, HEADERS, Peer, WINDOW_UPDATE},
    proxy::TestProxy,
    real,
    wire::{TlsListener, books, counted},
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
    for (size, count, bytes) in [("small", 300, 100 << 10), ("large", 50, 1_000 << 10)] {
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

/// An API server that says GOAWAY on its first connection once it has the whole of a body, which it
/// has not looked at. Also gives the lengths of the bodies that it has got.
struct Closing {
    url: String,
    ca_pem: String,
    bodies: mpsc::UnboundedReceiver<usize>,
}

impl Closing {
    async fn start() -> Self {
        const WINDOW: u32 = 8 << 20;
        let listener = TlsListener::bind(&["h2"]).await;
        let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
        let (sender, bodies) = mpsc::unbounded_channel();
        let connections = AtomicUsize::new(0);
        listener.serve(move |stream| {
            let is_first = connections.fetch_add(1, Ordering::Relaxed) == 0;
            let sender = sender.clone();
            async move {
                let mut server = Peer::serve(stream, &[(4, WINDOW)]).await.unwrap();
                let more = Frame::new(WINDOW_UPDATE, 0, 0, WINDOW.to_be_bytes());
                server.send(&more).await;
                let (mut looked_at, mut length) = (0, 0);
                while let Some(frame) = server.next().await {
                    if frame.kind == DATA {
                        length += frame.payload.len();
                    }
                    let ends = frame.flags & END_STREAM != 0;
                    match (frame.kind, ends) {
                        (DATA, true) => {
                            let _ = sender.send(length);
                            if is_first {
                                let mut payload = u32::to_be_bytes(looked_at).to_vec();
                                payload.extend([0; 4]);
                                server.send(&Frame::new(GOAWAY, 0, 0, payload)).await;
                                continue;
                            }
                            let head = Frame::head(frame.stream, true, &[(":status", "201")]);
                            server.send(&head).await;
                        }
                        (HEADERS, true) => {
                            looked_at = frame.stream;
                            let head = Frame::head(frame.stream, true, &[(":status", "200")]);
                            server.send(&head).await;
                        }
                        _ => {}
                    }
                }
            }
        });
        Self {
            url,
            ca_pem,
            bodies,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_sent_again_as_long_as_there_is_memory_for_it() {
    const LENGTH: usize = 3 << 20;
    for resend_memory in [64 << 20, 3 << 20] {
        let mut server = Closing::start().await;
        let options = proxy::Options {
            resend_memory,
            ..proxy::Options::default()
        };
        let proxy = TestProxy::start_with(&server.url, &server.ca_pem, options).await;
        let caller = Caller::connect(&proxy, "t").await;
        // This proves the credential.
        caller.get("/api/v1/pods").await;
        let path = "/api/v1/namespaces/n/secrets";
        let answer = caller.post(path, vec![b'x'; LENGTH].into()).await;
        assert_eq!(server.bodies.recv().await, Some(LENGTH));
        let books = books(&proxy).await;
        let found = counted(&books, |call| call.resource == "secrets");
        let is_kept = resend_memory > LENGTH;
        if is_kept {
            assert_eq!(answer.unwrap().status(), StatusCode::CREATED);
            assert_eq!(server.bodies.recv().await, Some(LENGTH));
            assert_eq!(found, [("201".to_owned(), String::new(), 1)]);
        } else {
            assert!(answer.is_err(), "{answer:?}");
            assert_eq!(found, [(String::new(), "upstream_lost".to_owned(), 1)]);
        }
        let counters = proxy.counters();
        let not_kept = counters.bodies_not_kept.load(Ordering::Relaxed);
        assert_eq!(not_kept, u64::from(!is_kept));
        let repeated = counters.repeated.load(Ordering::Relaxed);
        assert_eq!(repeated, u64::from(is_kept));
        proxy.stop().await;
    }
}
