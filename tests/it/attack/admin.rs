//! The admin port under clients that want to take it away from the kubelet, and from web pages.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use identity::{mint::Authority, upstream::CaSource};
use proxy::{
    Dialer, Options, Proxy,
    admin::{self, Admin},
};
use record::OpenRun;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::support::{
    traced::TracedProxy,
    wire::{LONGEST, Upstream, connect_with, read_head},
};

const TOKEN: &str = "admin-token";
/// Addresses of the same machine, for the kubelet and for others.
const KUBELET: &str = "127.0.0.1";
const NEIGHBOUR: &str = "127.0.0.2";
/// More than the port has places.
const SOCKETS: usize = 80;
/// Longest wait for the port to end what has no end.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// What a hostile client of the admin port does; it never reads.
#[derive(Clone, Copy, Debug)]
enum Attack {
    Scrapes,
    HalfBody,
    HalfBodyWithToken,
    HalfHead,
    Silent,
}

const ATTACKS: [Attack; 5] = [
    Attack::Scrapes,
    Attack::HalfBody,
    Attack::HalfBodyWithToken,
    Attack::HalfHead,
    Attack::Silent,
];

impl Attack {
    fn bytes(self) -> Vec<u8> {
        let put = "PUT /runs/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n";
        match self {
            Self::Scrapes => "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500),
            Self::HalfBody => format!("{put}\r\n{{"),
            Self::HalfBodyWithToken => format!("{put}Authorization: Bearer {TOKEN}\r\n\r\n{{"),
            Self::HalfHead => put.to_owned(),
            Self::Silent => String::new(),
        }
        .into_bytes()
    }

    async fn start(self, process: &TracedProxy, from: &str) -> TcpStream {
        let mut stream = connect_from(process, from).await;
        // What the system takes at once is enough: it may have closed the connection already.
        let _ = timeout(Duration::from_secs(1), stream.write_all(&self.bytes())).await;
        stream
    }
}

fn admin_address(process: &TracedProxy) -> SocketAddr {
    let address = process.admin_url.trim_start_matches("http://");
    address.parse().unwrap()
}

async fn connect_from(process: &TracedProxy, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let connected = timeout(LONGEST, socket.connect(admin_address(process))).await;
    connected.expect("the port accepts").unwrap()
}

async fn started(token: Option<&str>) -> (Upstream, TracedProxy) {
    let upstream = Upstream::serving().await;
    let (url, ca_pem) = (&upstream.url, &upstream.ca_pem);
    let process = match token {
        Some(token) => TracedProxy::start_with_token(url, ca_pem, token).await,
        None => TracedProxy::start(url, ca_pem).await,
    };
    (upstream, process)
}

/// Sends bytes and gives everything that comes back until the port closes the connection.
async fn answer_to(process: &TracedProxy, from: &str, request: &str) -> String {
    let mut stream = connect_from(process, from).await;
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    // A connection that is reset is closed, too.
    let _ = timeout(TIME_LIMIT, stream.read_to_end(&mut answer))
        .await
        .expect("the port closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// Probes and scrapes as kubelet and Prometheus do, some times; tells the longest time.
async fn is_reachable(process: &TracedProxy, from: &str) {
    let mut longest = Duration::ZERO;
    for _ in 0..5 {
        for path in ["/readyz", "/livez", "/metrics"] {
            let (start, request) = (Instant::now(), get(path));
            let answer = timeout(LONGEST, answer_to(process, from, &request)).await;
            let answer = answer.expect(path);
            longest = longest.max(start.elapsed());
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer:?}");
        }
    }
    eprintln!("longest answer of the admin port to {from}: {longest:?}");
}

/// Each kind alone, and then all of them: the port answers the kubelet and whoever comes from
/// the attacker's own address, and the run that is open stays open.
#[tokio::test(flavor = "multi_thread")]
async fn probes_and_scrapes_are_answered_whoever_holds_connections() {
    let (_upstream, process) = started(Some(TOKEN)).await;
    let admin = process.admin_with(Some(TOKEN));
    admin.open_run("open", &OpenRun::default()).await.unwrap();
    for attack in ATTACKS {
        let mut held = Vec::new();
        for _ in 0..super::scaled(SOCKETS) {
            held.push(attack.start(&process, NEIGHBOUR).await);
        }
        eprintln!("{attack:?}");
        is_reachable(&process, KUBELET).await;
        is_reachable(&process, NEIGHBOUR).await;
    }
    let mut held = Vec::new();
    for number in 0..super::scaled(60) {
        for attack in ATTACKS {
            let from = format!("127.0.0.{}", 2 + number % 4);
            held.push(attack.start(&process, &from).await);
        }
    }
    is_reachable(&process, KUBELET).await;
    is_reachable(&process, NEIGHBOUR).await;
    admin.look_at_run("open", "n").await.unwrap();
    admin.close_run("open").await.unwrap();
}

/// Clients of one address that come again and again push out each other, and neither the kubelet
/// nor a scraper that keeps its connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_new_connections_pushes_out_no_other_address() {
    let (_upstream, process) = started(None).await;
    let mut kept = connect_from(&process, KUBELET).await;
    let (came, mut coming) = watch::channel(0);
    let floods =
        ATTACKS.map(|attack| tokio::spawn(flood(admin_address(&process), attack, came.clone())));
    for _ in 0..5 {
        is_reachable(&process, KUBELET).await;
        let before = *coming.borrow();
        coming
            .wait_for(|&count| count > before + 2 * SOCKETS)
            .await
            .unwrap();
        let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        kept.write_all(request.as_bytes()).await.unwrap();
        let (head, _) = read_head(&mut kept).await.expect("it is still open");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    floods.iter().for_each(tokio::task::JoinHandle::abort);
}

/// New connections without end, some of them held.
async fn flood(to: SocketAddr, attack: Attack, came: watch::Sender<usize>) {
    let mut held = VecDeque::new();
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind(format!("{NEIGHBOUR}:0").parse().unwrap())
            .unwrap();
        let Ok(mut stream) = socket.connect(to).await else {
            continue;
        };
        let bytes = attack.bytes();
        let _ = timeout(Duration::from_millis(10), stream.write_all(&bytes)).await;
        held.push_back(stream);
        if held.len() > SOCKETS {
            held.pop_front();
        }
        came.send_modify(|count| *count += 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_end_is_ended() {
    let (_upstream, process) = started(Some(TOKEN)).await;
    let before = process.descriptors();
    let mut held = Vec::new();
    for attack in ATTACKS {
        held.push(attack.start(&process, NEIGHBOUR).await);
    }
    let deadline = Instant::now() + 2 * TIME_LIMIT;
    for stream in &mut held[1..] {
        let mut rest = Vec::new();
        let left = deadline.saturating_duration_since(Instant::now());
        let _ = timeout(left, stream.read_to_end(&mut rest))
            .await
            .expect("the port closes the connection");
        let rest = String::from_utf8_lossy(&rest);
        let is_refusal = rest.starts_with("HTTP/1.1 401") || rest.starts_with("HTTP/1.1 408");
        assert!(rest.is_empty() || is_refusal, "{rest}");
    }
    drop(held);
    while process.descriptors() > before {
        assert!(Instant::now() < deadline, "{}", process.descriptors());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whatever HTTP allows, and some of what it doesn't, has an answer or an end.
#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_end_in_an_answer_or_a_closed_connection() {
    let (_upstream, process) = started(Some(TOKEN)).await;
    let put = format!("PUT /runs/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}");
    let huge = "x".repeat(200 << 10);
    let lines = "X: y\r\n".repeat(1_000);
    let close = "Connection: close\r\n";
    for (request, wanted) in [
        // Bodies that nobody reads.
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\nx".to_owned(), "200"),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab".to_owned(), "200"),
        ("DELETE /snapshot HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n".to_owned(), "401"),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n".to_owned(), "200"),
        ("PUT /runs/x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n".to_owned(), "401"),
        // Bodies that are read.
        (format!("{put}\r\nExpect: 100-continue\r\n{close}Content-Length: 2\r\n\r\n{{}}"), "100"),
        (format!("{put}\r\n{close}Content-Length: 1\r\n\r\n7"), "400"),
        (format!("{put}\r\n{close}Transfer-Encoding: chunked\r\n\r\nxx\r\n"), "400"),
        (format!("{put}\r\n{close}Content-Length: 204800\r\n\r\n{huge}"), "400"),
        // Heads.
        (format!("GET /{huge} HTTP/1.1\r\nHost: localhost\r\n\r\n"), "4"),
        (format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {huge}\r\n\r\n"), "431"),
        (format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"), "431"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), ""),
        ("GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n".to_owned(), "200"),
        ("noise\r\n\r\n".to_owned(), "400"),
    ] {
        let answer = answer_to(&process, KUBELET, &request).await;
        let head: String = request.chars().take(80).collect();
        // Where a client still sends, the reset may overtake the answer.
        let may_be_lost = request.len() > 100 << 10 && answer.is_empty();
        let has_answer = wanted.is_empty() || answer.starts_with(&format!("HTTP/1.1 {wanted}"));
        let has_answer = has_answer || answer.starts_with(&format!("HTTP/1.0 {wanted}"));
        assert!(has_answer || may_be_lost, "{head}: {answer:?}");
    }
    let pipelined = format!(
        "{}{}",
        get("/livez").replace("close", "keep-alive").repeat(99),
        get("/livez")
    );
    let answers = answer_to(&process, KUBELET, &pipelined).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 100);
    let mut half = connect_from(&process, KUBELET).await;
    let scrape = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    half.write_all(scrape.as_bytes()).await.unwrap();
    half.shutdown().await.unwrap();
    let (head, _) = read_head(&mut half).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    is_reachable(&process, KUBELET).await;
}

/// An outage of the API server must not restart the components before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_without_an_api_server_is_ready() {
    let stranger = Authority::new("stranger").unwrap();
    let process = TracedProxy::start("https://127.0.0.1:1", &stranger.certificate_pem()).await;
    let mut stream = connect_with(&process.url, &process.authority, &[]).await;
    let request = b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let (head, _) = timeout(TIME_LIMIT, read_head(&mut stream))
        .await
        .unwrap()
        .unwrap();
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    is_reachable(&process, KUBELET).await;
}

/// What a request did is in the page that is asked for after it, also while others ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_has_every_request_before_it() {
    let (_upstream, process) = started(None).await;
    let address = admin_address(&process);
    let others = tokio::spawn(async move {
        loop {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(get("/metrics").as_bytes()).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    let mut client = connect_with(&process.url, &process.authority, &[]).await;
    for number in 1..=20 {
        let request = b"GET /version HTTP/1.1\r\nHost: p\r\n\r\n";
        client.write_all(request).await.unwrap();
        read_head(&mut client).await.unwrap();
        let page = answer_to(&process, KUBELET, &get("/metrics")).await;
        let counted = page.lines().filter(|line| {
            line.starts_with("kubetoll_nonresource_requests_total{") && line.contains("/version")
        });
        let counted: u64 = counted
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum();
        assert_eq!(counted, number, "{page}");
    }
    others.abort();
}

/// They name users and objects as they come.
#[tokio::test(flavor = "multi_thread")]
async fn lines_of_an_open_run_are_for_who_has_the_token_on_loopback_too() {
    let path = "/runs/open/journal?lines=0&ends=0&clients=0";
    let (_upstream, without) = started(None).await;
    let asked = OpenRun {
        journal: true,
        ..OpenRun::default()
    };
    without.admin().open_run("open", &asked).await.unwrap();
    let answer = answer_to(&without, KUBELET, &get(path)).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let (_upstream, with) = started(Some(TOKEN)).await;
    let admin = with.admin_with(Some(TOKEN));
    admin.open_run("open", &asked).await.unwrap();
    for (first_line, token, wanted) in [
        (format!("GET {path}"), "", "401"),
        (format!("GET {path}"), "another", "401"),
        (format!("GET {path}"), TOKEN, "200"),
        ("GET /runs/open/journal".to_owned(), TOKEN, "200"),
        ("GET /runs/open/journal?lines=-1".to_owned(), TOKEN, "400"),
        ("GET /runs/open/journal?line=1".to_owned(), TOKEN, "400"),
        (
            format!("GET /runs/open/journal?lines={}", u64::MAX),
            TOKEN,
            "200",
        ),
        ("GET /runs/other/journal".to_owned(), TOKEN, "404"),
        ("GET /runs/../journal".to_owned(), TOKEN, "404"),
        ("GET /runs//journal".to_owned(), TOKEN, "404"),
        ("DELETE /runs/open/journal".to_owned(), TOKEN, "405"),
    ] {
        let request = format!(
            "{first_line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\n\r\n"
        );
        let answer = answer_to(&with, KUBELET, &request).await;
        let is_right = answer.starts_with(&format!("HTTP/1.1 {wanted}"));
        assert!(is_right, "{first_line} {token}: {answer}");
    }
}

/// A page of the web that got its name to mean this machine, and one that asks across sites.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_gets_nothing_and_changes_nothing() {
    let (_upstream, process) = started(None).await;
    let port = admin_address(&process).port();
    let admin = process.admin();
    admin.open_run("open", &OpenRun::default()).await.unwrap();
    for path in ["/snapshot", "/runs/open", "/metrics", "/readyz", "/livez"] {
        for host in ["evil.example", &format!("evil.example:{port}"), "10.0.0.1"] {
            for method in ["GET", "PUT", "DELETE"] {
                let request = format!(
                    "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                );
                let answer = answer_to(&process, KUBELET, &request).await;
                assert!(answer.starts_with("HTTP/1.1 403"), "{request}: {answer}");
                assert!(
                    answer.contains("localhost") && !answer.contains("evil"),
                    "{answer}"
                );
            }
        }
        let target = format!(
            "GET http://evil.example{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        let answer = answer_to(&process, KUBELET, &target).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{target}: {answer}");
        for host in ["localhost", &format!("127.0.0.1:{port}"), "[::1]:9"] {
            let request = get(path).replace("localhost", host);
            let answer = answer_to(&process, KUBELET, &request).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{request}: {answer}");
        }
    }
    for mark in [
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
    ] {
        for first_line in [
            "DELETE /runs/open",
            "PUT /runs/other",
            "GET /runs/open",
            "GET /snapshot",
        ] {
            let request = format!(
                "{first_line} HTTP/1.1\r\nHost: localhost\r\n{mark}\r\nConnection: close\r\n\r\n"
            );
            let answer = answer_to(&process, KUBELET, &request).await;
            assert!(answer.starts_with("HTTP/1.1 403"), "{request}: {answer}");
            let head = answer.to_ascii_lowercase();
            assert!(!head.contains("access-control"), "{answer}");
        }
    }
    admin.close_run("open").await.unwrap();
}

/// Whoever starts a port: the command line refuses this before.
#[tokio::test]
async fn a_port_that_others_reach_needs_a_token() {
    identity::install_provider();
    let upstream = identity::upstream::Upstream {
        url: "https://127.0.0.1:1".to_owned(),
        ca: CaSource::Pem(Authority::new("ca").unwrap().certificate_pem().into()),
        server_name: None,
    };
    let tls = upstream.client_config(None).unwrap();
    for (address, token, is_served) in [
        ("0.0.0.0:0", None, false),
        ("0.0.0.0:0", Some(TOKEN.to_owned()), true),
        ("127.0.0.1:0", None, true),
    ] {
        let dialer = Dialer::new(&upstream.url, None, tls.clone()).unwrap();
        let proxy = Proxy::new(dialer, Options::default());
        let options = admin::Options {
            token,
            ..admin::Options::default()
        };
        let listener = TcpListener::bind(address).await.unwrap();
        let stop = CancellationToken::new();
        let served = admin::serve(listener, Admin::new(proxy, options), stop.clone());
        stop.cancel();
        assert_eq!(served.is_ok(), is_served, "{address}: {served:?}");
    }
}
