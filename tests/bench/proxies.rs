//! What a request and a watch cost in Kubetoll's proxy, which counts them, and in nginx, HAProxy
//! and Envoy, which don't: CPU and memory of each process, in the same run.
//!
//! `tests/bench/get-others` gets the others. `cargo bench --bench proxies` runs everything,
//! `cargo bench --bench proxies -- requests` a part. Only the ratios say much: a machine that is
//! slow is slow for all.

#![expect(
    clippy::unwrap_used,
    reason = "a program for tests says by a panic what is wrong"
)]
#![allow(unreachable_pub, reason = "the kit is public for all programs")]

use std::{
    path::Path,
    process::ExitCode,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use tokio::{task::JoinSet, time::sleep};

use kit::{
    client::{Body, Target, service_account_token},
    contender::{Contender, Protocol},
    program,
    upstream::Upstream,
    watch::open_many,
};

#[path = "kit/mod.rs"]
mod kit;

/// Each proxy is measured once a round, in turn.
const ROUNDS: usize = 5;
const REQUESTS: u64 = 40_000;
/// Connections, and requests at once on each.
const LOAD: [(Protocol, usize, usize); 2] = [(Protocol::Http1, 16, 1), (Protocol::Http2, 4, 8)];
/// Connections, and watches on each.
const WATCHES: (usize, usize) = (100, 20);

/// One request in four changes something.
static PATCH: &[u8] = &[b'p'; 600];
const PATH: &str = "/api/v1/namespaces/kubevirt-perf-test/pods/virt-launcher-vmi-0042-x7k2p";
static AUTHORIZATION: LazyLock<HeaderValue> =
    LazyLock::new(|| service_account_token("kubevirt-controller"));

#[tokio::main]
async fn main() -> ExitCode {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/bin");
    if !programs.join("envoy").exists() {
        eprintln!("nginx, HAProxy and Envoy are missing: run tests/bench/get-others");
        return ExitCode::from(2);
    }
    let mut ok = true;
    if program::wants("requests") {
        for load in LOAD {
            ok &= requests(&programs, load).await;
        }
    }
    if program::wants("watches") {
        ok &= watches(&programs).await;
    }
    program::exit(ok)
}

/// CPU time for a request, all proxies in turn.
async fn requests(
    programs: &Path,
    (protocol, connections, at_once): (Protocol, usize, usize),
) -> bool {
    let upstream = Upstream::start().await;
    let contenders = Contender::start_all(programs, &upstream).await;
    let mut found = vec![Vec::new(); contenders.len()];
    // The first round says how long opening takes.
    for round in 0..=ROUNDS {
        for (contender, found) in contenders.iter().zip(&mut found) {
            let target = contender.target(protocol);
            let (before, began) = (contender.cpu(), Instant::now());
            storm(target, protocol, connections, at_once).await;
            let spent = contender.cpu().since(&before);
            if round > 0 {
                found.push((spent, began.elapsed()));
            }
            upstream.records.take_answers();
        }
    }
    println!(
        "{}, {connections} connections x {at_once} at once, {ROUNDS} x {REQUESTS} requests, median:",
        protocol.name()
    );
    let each = |time: Duration| time.as_secs_f64() * 1e6 / REQUESTS as f64;
    let lines = contenders.iter().zip(&mut found).map(|(contender, found)| {
        found.sort();
        let (spent, _) = found[ROUNDS / 2];
        let range = format!(
            "{:.1} to {:.1}",
            each(found[0].0),
            each(found[ROUNDS - 1].0)
        );
        (contender.name, each(spent), range)
    });
    compare(&lines.collect::<Vec<_>>(), "us of CPU a request")
}

/// Prints each figure and how it compares with ours, which comes first. Whether ours is the least.
fn compare(lines: &[(&str, f64, String)], unit: &str) -> bool {
    let ours = lines[0].1;
    for (name, figure, more) in lines {
        println!(
            "  {name:14} {figure:8.1} {unit}, {:.2} of ours ({more})",
            figure / ours
        );
    }
    let others = lines[1..].iter().map(|line| line.1);
    let best = others.fold(f64::INFINITY, f64::min);
    let finding = format!("ours is {:.2} of the best of the others", ours / best);
    program::judge(ours <= best, &finding)
}

/// Sends [`REQUESTS`]; panics if one is not answered well.
async fn storm(target: &Target, protocol: Protocol, connections: usize, at_once: usize) {
    let left = Arc::new(AtomicU64::new(REQUESTS));
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        for sender in connect(target, protocol, at_once).await {
            let (target, left) = (target.clone(), Arc::clone(&left));
            clients.spawn(send_all(sender, target, protocol, left));
        }
    }
    clients.join_all().await;
}

/// Who sends one request at a time.
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// A connection, and all who send on it.
async fn connect(target: &Target, protocol: Protocol, at_once: usize) -> Vec<Sender> {
    match protocol {
        Protocol::Http1 => vec![Sender::Http1(target.http1().await.unwrap())],
        Protocol::Http2 => {
            let sender = target.http2().await.unwrap();
            (0..at_once)
                .map(|_| Sender::Http2(sender.clone()))
                .collect()
        }
    }
}

async fn send_all(mut sender: Sender, target: Target, protocol: Protocol, left: Arc<AtomicU64>) {
    while let Some(number) = next(&left) {
        let request = request(&target, protocol, number);
        let answer = match &mut sender {
            Sender::Http1(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await
            }
        };
        check(answer).await;
    }
}

fn next(left: &AtomicU64) -> Option<u64> {
    let less = |left: u64| left.checked_sub(1);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
        .ok()
}

async fn check(answer: hyper::Result<http::Response<hyper::body::Incoming>>) {
    let answer = answer.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!((status, body.len()), (StatusCode::OK, 2_000), "{body:?}");
}

/// A controller's request.
fn request(target: &Target, protocol: Protocol, number: u64) -> Request<Body> {
    let (method, body) = match number % 4 {
        0 => (Method::PATCH, PATCH),
        _ => (Method::GET, &[][..]),
    };
    let path = format!("{PATH}?bytes=2000");
    let mut request = match protocol {
        Protocol::Http1 => target.request_http1(method, &path, body),
        Protocol::Http2 => target.request(method, &path, body),
    };
    let headers = request.headers_mut();
    headers.insert(header::AUTHORIZATION, AUTHORIZATION.clone());
    for (name, value) in [
        (
            header::USER_AGENT,
            "virt-controller/v0.0.0 (linux/amd64) kubernetes/$Format",
        ),
        (header::ACCEPT, "application/json, */*"),
        (header::ACCEPT_ENCODING, "gzip"),
        (header::CONTENT_TYPE, "application/json-patch+json"),
        (
            HeaderName::from_static("kubectl-session"),
            "5bb5ca5c-0b23-4b37-9fd1-5b0e8f5c5d0e",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    request
}

/// Memory for a watch at rest.
async fn watches(programs: &Path) -> bool {
    let upstream = Upstream::start().await;
    let contenders = Contender::start_all(programs, &upstream).await;
    let (connections, each) = WATCHES;
    println!("HTTP/2, {connections} connections x {each} watches, resident memory:");
    let mut lines = Vec::new();
    for contender in &contenders {
        let target = contender.target(Protocol::Http2);
        drop(open_many(target, 1, 1, "every=1000000&bytes=300").await);
        let before = contender.memory_kib();
        let open = open_many(target, connections, each, "every=1000000&bytes=300").await;
        sleep(Duration::from_secs(3)).await;
        let more = contender.memory_kib() - before;
        let figure = more as f64 / (connections * each) as f64;
        lines.push((contender.name, figure, format!("{before} KiB before")));
        drop(open);
    }
    compare(&lines, "KiB a watch")
}
