//! Watches at scale, through the proxy as a process of its own, on the loopback address.
//!
//! `cargo bench --bench watches` runs everything, `cargo bench --bench watches -- delay memory` two
//! parts. Exit code 1: something was lost, or a target was missed.

#![expect(
    clippy::unwrap_used,
    reason = "a program for tests says by a panic what is wrong"
)]
#![allow(unreachable_pub, reason = "the kit is public for all programs")]

use std::{
    process::ExitCode,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};

use kit::{
    client::Target,
    program::{exit, judge, wants},
    proxy::ProxyProcess,
    upstream::Upstream,
    watch::{Delays, Watch, open, open_many, until},
};

#[path = "kit/mod.rs"]
mod kit;

const LONGEST: Duration = Duration::from_secs(60);
/// Added delay of an event, 99th percentile.
const DELAY_TARGET: Duration = Duration::from_millis(1);
/// From the client's cancellation to the end of the upstream's stream, longest.
const CANCEL_TARGET: Duration = Duration::from_millis(100);
/// Memory of a watch on HTTP/2, in KiB.
const MEMORY_TARGET: f64 = 6.0;

struct Ways {
    upstream: Upstream,
    proxy: ProxyProcess,
    direct: Target,
    through: Target,
}

impl Ways {
    async fn start() -> Self {
        let upstream = Upstream::start().await;
        let proxy = ProxyProcess::start(&upstream.url, &upstream.authority.certificate_pem());
        Self {
            direct: Target::new(&upstream.url, &upstream.authority),
            through: Target::new(&proxy.url, &proxy.authority),
            upstream,
            proxy,
        }
    }

    fn watches_open(&self) -> usize {
        self.upstream.records.watches_open.load(Ordering::Relaxed)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut ok = true;
    if wants("scale") {
        ok &= scale().await;
    }
    if wants("delay") {
        ok &= delay().await;
    }
    if wants("cancel") {
        ok &= cancel().await;
    }
    if wants("small") {
        ok &= small_frames().await;
    }
    if wants("memory") {
        ok &= memory().await;
    }
    exit(ok)
}

async fn read_all(watches: Vec<Watch>, events: u64) -> Vec<Duration> {
    let mut reading = JoinSet::new();
    for mut watch in watches {
        reading.spawn(async move { watch.read(events).await });
    }
    reading.join_all().await.concat()
}

/// 2,000 watches on 20 connections, 10,000 events a second for 20 seconds. A missing or reordered
/// event is a panic.
async fn scale() -> bool {
    const EVENTS: u64 = 100;
    let ways = Ways::start().await;
    let started = Instant::now();
    let query = "every=200000&bytes=300";
    let (_senders, watches) = open_many(&ways.through, 20, 100, query).await;
    let opened = started.elapsed();
    let open = ways.watches_open();
    let connections = ways
        .upstream
        .records
        .connections_open
        .load(Ordering::Relaxed);
    let delays = Delays::new(read_all(watches, EVENTS).await);
    let rate = 2_000.0 * EVENTS as f64 / started.elapsed().as_secs_f64();
    let none_left = until(LONGEST, || ways.watches_open() == 0).await;
    judge(
        open == 2_000 && connections == 20 && none_left.is_some(),
        &format!(
            "scale: 2000 watches opened in {opened:.2?} over {connections} upstream connections; \
             200000 events in order at {rate:.0}/s, {delays}"
        ),
    )
}

/// 100 watches with 10 events a second each, directly and through the proxy.
async fn delay() -> bool {
    let ways = Ways::start().await;
    let mut found = Vec::new();
    for target in [&ways.direct, &ways.through] {
        let (_senders, watches) = open_many(target, 5, 20, "every=100000&bytes=1000").await;
        // The first events say how long opening takes.
        let delays = read_all(watches, 100).await;
        found.push(Delays::new(delays));
    }
    let [direct, through] = &found[..] else {
        return false;
    };
    let added = through.percentile(99).saturating_sub(direct.percentile(99));
    judge(
        added < DELAY_TARGET,
        &format!("delay: direct {direct}; through the proxy {through}; added at p99 {added:.2?}"),
    )
}

/// 200 watches, each cancelled on a connection that has others.
async fn cancel() -> bool {
    let ways = Ways::start().await;
    let mut found = Vec::new();
    for (way, target) in [("direct", &ways.direct), ("through", &ways.through)] {
        let mut sender = target.http2().await.unwrap();
        let mut took = Vec::new();
        for number in 0..200 {
            let id = format!("{way}-{number}");
            let query = format!("every=50000&id={id}");
            let mut watch = open(&mut sender, target, &query).await.unwrap();
            watch.read(1).await;
            let cancelled = Instant::now();
            drop(watch);
            let gone = || ways.upstream.records.ended(&id).is_some();
            if until(LONGEST, gone).await.is_none() {
                return judge(false, &format!("cancel: watch {id} was never ended"));
            }
            took.push(ways.upstream.records.ended(&id).unwrap() - cancelled);
        }
        found.push(Delays::new(took));
    }
    let [direct, through] = &found[..] else {
        return false;
    };
    judge(
        through.max() < CANCEL_TARGET,
        &format!("cancel: direct {direct}; through the proxy {through}"),
    )
}

/// 200,000 frames of 17 bytes on a connection with another watch, read as fast as possible, and
/// by a reader that first sleeps and then takes its time.
async fn small_frames() -> bool {
    const FRAMES: u64 = 200_000;
    let ways = Ways::start().await;
    let mut ok = true;
    for (name, sleeps, pause) in [
        ("fast", Duration::ZERO, Duration::ZERO),
        ("slow", Duration::from_secs(2), Duration::from_millis(2)),
    ] {
        let before = ways
            .upstream
            .records
            .connections_opened
            .load(Ordering::Relaxed);
        let mut sender = ways.through.http2().await.unwrap();
        let mut other = open(&mut sender, &ways.through, "every=10000")
            .await
            .unwrap();
        let query = format!("count={FRAMES}&bytes=17");
        let mut watch = open(&mut sender, &ways.through, &query).await.unwrap();
        let started = Instant::now();
        sleep(sleeps).await;
        watch
            .read_slowly(FRAMES, if pause.is_zero() { 0 } else { 200 }, pause)
            .await;
        let took = started.elapsed();
        other.read(50).await;
        let opened = ways
            .upstream
            .records
            .connections_opened
            .load(Ordering::Relaxed)
            - before;
        ok &= judge(
            watch.events() == FRAMES && opened == 1,
            &format!(
                "small frames, {name} reader: {} of {FRAMES} in {took:.2?}, upstream connections {opened}",
                watch.events()
            ),
        );
    }
    ok
}

/// What a watch costs at rest, once some are open and closed again.
async fn memory() -> bool {
    let mut ok = true;
    for (connections, count) in [(200, 20), (50, 90), (1_000, 1)] {
        let ways = Ways::start().await;
        let query = "every=1000000&bytes=300";
        drop(open_many(&ways.through, 1, 1, query).await);
        let before = ways.proxy.memory_kib();
        let (senders, watches) = open_many(&ways.through, connections, count, query).await;
        sleep(Duration::from_secs(2)).await;
        let opened = ways.proxy.memory_kib();
        let descriptors = ways.proxy.descriptors();
        drop((senders, watches));
        let closed = until(LONGEST, || ways.watches_open() == 0).await.is_some();
        sleep(Duration::from_secs(1)).await;
        let total = connections * count;
        let each = (opened - before) as f64 / total as f64;
        // A connection that has one watch pays for its TLS and HTTP/2 state alone.
        let within = each <= MEMORY_TARGET || count == 1;
        ok &= judge(
            within && closed,
            &format!(
                "memory: {connections} connections x {count} watches: {each:.1} KiB a watch, {:.0} KiB a \
                 connection; {before} KiB before, {opened} KiB open ({descriptors} descriptors), {} KiB \
                 closed ({} descriptors)",
                each * count as f64,
                ways.proxy.memory_kib(),
                ways.proxy.descriptors()
            ),
        );
    }
    ok
}
