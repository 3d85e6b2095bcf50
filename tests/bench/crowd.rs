//! What a hostile crowd without a credential costs the honest clients of a proxy: time to the answer
//! of paced requests and of the admin port's probes, with and without the crowd.
//!
//! `cargo bench --bench crowd [-- ATTACKERS]` (default 200, each with two attacks a second). The
//! times are the machine's; what counts is how they differ. Exit code 1: something honest got no
//! answer.

#![expect(
    clippy::unwrap_used,
    reason = "a program for tests says by a panic what is wrong"
)]
#![allow(unreachable_pub, reason = "the kit is public for all programs")]

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::Method;
use http_body_util::BodyExt;
use kit::{
    client::Target,
    crowd::Crowd,
    program::{self, exit},
    proxy::ProxyProcess,
    upstream::Upstream,
    watch::Delays,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

#[path = "kit/mod.rs"]
mod kit;

/// How long each part lasts.
const LENGTH: Duration = Duration::from_secs(20);
/// Honest clients, and the time between two requests of one.
const CLIENTS: usize = 20;
const PACE: Duration = Duration::from_millis(50);
/// Between two attacks of one attacker.
const PAUSE: Duration = Duration::from_millis(500);
const PROBE_EVERY: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
const PATH: &str = "/api/v1/namespaces/default/pods/honest?bytes=600";

/// What the honest ones saw.
struct Seen {
    requests: Vec<Duration>,
    probes: Vec<Duration>,
    lost: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let argument = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let Ok(attackers) = argument.map_or(Ok(200), |count| count.parse::<u64>()) else {
        eprintln!("usage: cargo bench --bench crowd [-- ATTACKERS]");
        return ExitCode::from(2);
    };
    let upstream = Upstream::start().await;
    let proxy = ProxyProcess::start(&upstream.url, &upstream.authority.certificate_pem());
    let target = Target::new(&proxy.url, &proxy.authority);
    let before = proxy.memory_kib();
    let alone = measure(&proxy, &target).await;
    print("alone", &alone);
    let crowd = Crowd::start(&target, attackers, PAUSE);
    let beside = measure(&proxy, &target).await;
    let attacks = crowd.stop().await;
    print(
        &format!("beside {attackers} attackers ({attacks} attacks)"),
        &beside,
    );
    println!(
        "memory: {before} KiB before, {} KiB after",
        proxy.memory_kib()
    );
    exit(program::judge(
        alone.lost + beside.lost == 0,
        &format!(
            "{} honest requests and probes without an answer",
            alone.lost + beside.lost
        ),
    ))
}

fn print(name: &str, seen: &Seen) {
    for (what, times) in [("request", &seen.requests), ("probe", &seen.probes)] {
        let times = Delays::new(times.clone());
        println!(
            "{name}: time to the answer of a {what}: p50 {:?}, p99 {:?}, longest {:?}",
            times.percentile(50),
            times.percentile(99),
            times.max()
        );
    }
}

/// Honest requests and probes for [`LENGTH`].
async fn measure(proxy: &ProxyProcess, target: &Target) -> Seen {
    let lost = Arc::<AtomicU64>::default();
    let admin = proxy.admin.url().trim_start_matches("http://").to_owned();
    let (probing, missed) = (admin.clone(), Arc::clone(&lost));
    let probes = tokio::spawn(async move { probe(&probing, &missed).await });
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (target, lost) = (target.clone(), Arc::clone(&lost));
        clients.spawn(async move { requests(&target, &lost).await });
    }
    let mut requests = Vec::new();
    while let Some(times) = clients.join_next().await {
        requests.extend(times.unwrap());
    }
    Seen {
        requests,
        probes: probes.await.unwrap(),
        lost: lost.load(Ordering::Relaxed),
    }
}

/// One client's requests over a connection of its own, at its pace.
async fn requests(target: &Target, lost: &AtomicU64) -> Vec<Duration> {
    let mut sender = target.http1().await.unwrap();
    let mut times = Vec::new();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let began = Instant::now();
    while began.elapsed() < LENGTH {
        pace.tick().await;
        let sent = Instant::now();
        let answer = timeout(LONGEST, async {
            sender.ready().await?;
            let request = target.request_http1(Method::GET, PATH, b"");
            sender
                .send_request(request)
                .await?
                .into_body()
                .collect()
                .await
        });
        match answer.await {
            Ok(Ok(_)) => times.push(sent.elapsed()),
            _ => {
                lost.fetch_add(1, Ordering::Relaxed);
                sender = target.http1().await.unwrap();
            }
        }
    }
    times
}

/// The kubelet's probes: a connection each.
async fn probe(admin: &str, lost: &AtomicU64) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut pace = interval(PROBE_EVERY);
    let began = Instant::now();
    while began.elapsed() < LENGTH {
        pace.tick().await;
        let sent = Instant::now();
        let answer = timeout(LONGEST, async {
            let mut stream = TcpStream::connect(admin).await?;
            let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            std::io::Result::Ok(answer)
        });
        match answer.await {
            Ok(Ok(answer)) if answer.starts_with(b"HTTP/1.1 200") => times.push(sent.elapsed()),
            _ => {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    times
}
