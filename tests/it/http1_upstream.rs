//! A client of HTTP/2 in front of an API server that has only HTTP/1.1, as kube-apiserver with
//! `--disable-http2-serving`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::join_all;
use http::Method;
use lab::real::RealCluster;
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use crate::support::{
    caller::Caller,
    proxy::TestProxy,
    real,
    wire::{LONGEST, TlsListener, books, counted, read_head},
};

fn opened(proxy: &TestProxy) -> u64 {
    proxy.counters().upstream_opened.load(Ordering::Relaxed)
}

/// How many requests the audit log has by verb and resource, but for those of the API server
/// itself.
fn audited(cluster: &RealCluster) -> BTreeMap<String, u64> {
    let log = std::fs::read_to_string(cluster.audit_log()).unwrap();
    let mut found = BTreeMap::new();
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let started = event["stage"] == "ResponseStarted";
        if event["user"]["username"] != "system:apiserver" && !started {
            let resource = &event["objectRef"]["resource"];
            let name = format!("{}-{}", event["verb"], resource).replace('"', "");
            *found.entry(name).or_default() += 1;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http2_shares_few_connections_of_a_server_that_has_only_http1() {
    let Some(assets) = real::assets() else { return };
    identity::install_provider();
    let flags = ["--disable-http2-serving=true".to_owned()];
    let cluster = RealCluster::start(assets, &flags).await.unwrap();
    let proxy = TestProxy::start(&cluster.url(), &cluster.ca_pem()).await;
    let client = Caller::connect(&proxy, cluster.admin_token()).await;
    for _ in 0..1_000 {
        client.get("/api/v1/namespaces/default").await;
    }
    let one_after_the_other = opened(&proxy);
    assert!(one_after_the_other <= 2, "{one_after_the_other}");
    let watches = join_all((0..5).map(|_| client.send(Method::GET, "/api/v1/pods?watch=1"))).await;
    for _ in 0..100 {
        client.get("/api/v1/configmaps").await;
    }
    let with_watches = opened(&proxy);
    assert!(with_watches <= 5 + 2, "{with_watches}");
    join_all((0..50).map(|_| client.get("/api/v1/secrets"))).await;
    let overlapping = opened(&proxy);
    assert!(overlapping <= 5 + 50, "{overlapping}");
    println!("connections: {one_after_the_other}, {with_watches}, {overlapping}");
    let books = books(&proxy).await;
    let wanted = [
        ("get", "namespaces", 1_000),
        ("watch", "pods", 5),
        ("list", "configmaps", 100),
        ("list", "secrets", 50),
    ];
    for (verb, resource, count) in wanted {
        let found = counted(&books, |call| {
            call.verb == verb && call.resource == resource
        });
        assert_eq!(
            found,
            [("200".to_owned(), String::new(), count)],
            "{verb} {resource}"
        );
    }
    assert_eq!(
        books.rows.iter().map(|row| row.answered).sum::<u64>(),
        1_155
    );
    drop(watches);
    proxy.stop().await;
    let audited = audited(&cluster);
    assert_eq!(audited["get-namespaces"], 1_000, "{audited:?}");
    assert_eq!(audited["list-configmaps"], 100, "{audited:?}");
    assert_eq!(audited["list-secrets"], 50, "{audited:?}");
}

/// An API server of HTTP/1.1 that answers the first request of each connection, and closes the
/// connection at the second one, as if it had been idle for too long a moment before.
struct Tired {
    proxy: TestProxy,
    /// What was asked for on which connection.
    requests: Arc<Mutex<Vec<(usize, String)>>>,
}

impl Tired {
    async fn start() -> Self {
        let listener = TlsListener::bind(&["http/1.1"]).await;
        let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (noted, connections) = (Arc::clone(&requests), AtomicUsize::new(0));
        listener.serve(move |mut stream| {
            let noted = Arc::clone(&noted);
            let number = connections.fetch_add(1, Ordering::Relaxed);
            async move {
                for answer in [&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..], b""] {
                    let Some((head, _)) = read_head(&mut stream).await else {
                        return;
                    };
                    let line = head.lines().next().unwrap().to_owned();
                    noted.lock().unwrap().push((number, line));
                    let _ = stream.write_all(answer).await;
                }
            }
        });
        let proxy = TestProxy::start(&url, &ca_pem).await;
        Self { proxy, requests }
    }

    fn requests(&self) -> Vec<(usize, String)> {
        self.requests.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_meets_the_close_of_an_idle_connection_goes_out_again_and_a_write_does_not() {
    let server = Tired::start().await;
    let client = Caller::connect(&server.proxy, "t").await;
    client.get("/api/v1/first").await;
    client.get("/api/v1/second").await;
    let (first, second) = ("GET /api/v1/first HTTP/1.1", "GET /api/v1/second HTTP/1.1");
    let sent = [(0, first), (0, second), (1, second)];
    assert_eq!(
        server.requests(),
        sent.map(|(on, line)| (on, line.to_owned()))
    );
    let failed = client.send(Method::POST, "/api/v1/third").await;
    assert!(failed.is_err(), "{failed:?}");
    let line = "POST /api/v1/third HTTP/1.1".to_owned();
    assert_eq!(server.requests()[3..], [(1, line)]);
    let books = books(&server.proxy).await;
    let of = |resource: &str| counted(&books, |call| call.resource == resource);
    assert_eq!(of("second"), [("200".to_owned(), String::new(), 1)]);
    assert_eq!(
        of("third"),
        [(String::new(), "upstream_lost".to_owned(), 1)]
    );
    let repeated = server.proxy.counters().repeated.load(Ordering::Relaxed);
    assert_eq!(repeated, 1);
    server.proxy.stop().await;
}

/// While one request dials an address that takes its time, others go on over connections that are
/// there.
#[tokio::test(flavor = "multi_thread")]
async fn a_dial_holds_up_no_request_that_has_a_connection() {
    let (asked, released) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let listener = TlsListener::bind(&["http/1.1"]).await;
    let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
    let (ask, release) = (Arc::clone(&asked), Arc::clone(&released));
    listener.serve(move |mut stream| {
        let (ask, release) = (Arc::clone(&ask), Arc::clone(&release));
        async move {
            while let Some((head, _)) = read_head(&mut stream).await {
                if head.starts_with("GET /api/v1/slow ") {
                    ask.add_permits(1);
                    release.acquire().await.unwrap().forget();
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                let _ = stream.write_all(answer).await;
            }
        }
    });
    let gate = Gate::start(&url).await;
    let proxy = TestProxy::start(&gate.url, &ca_pem).await;
    let client = Caller::connect(&proxy, "t").await;
    gate.let_in.add_permits(1);
    client.get("/api/v1/first").await;
    let one_after_the_other = async {
        let second = async {
            asked.acquire().await.unwrap().forget();
            // It waits at the gate.
            client.get("/api/v1/second").await;
        };
        let third = async {
            gate.came.acquire_many(2).await.unwrap().forget();
            released.add_permits(1);
        };
        let slow = async {
            client.get("/api/v1/slow").await;
            client.get("/api/v1/fourth").await;
            gate.let_in.add_permits(1);
        };
        tokio::join!(slow, second, third);
    };
    timeout(2 * LONGEST, one_after_the_other).await.unwrap();
    assert_eq!(opened(&proxy), 2);
    proxy.stop().await;
}

/// A relay to one server, which lets as many connections in as it is told to.
struct Gate {
    url: String,
    /// One for each connection that came.
    came: Arc<Semaphore>,
    let_in: Arc<Semaphore>,
}

impl Gate {
    async fn start(target: &str) -> Self {
        let target = target.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (came, let_in) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (at_gate, inside) = (Arc::clone(&came), Arc::clone(&let_in));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                at_gate.add_permits(1);
                inside.acquire().await.unwrap().forget();
                let mut server = TcpStream::connect(&target).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
            }
        });
        Self { url, came, let_in }
    }
}
