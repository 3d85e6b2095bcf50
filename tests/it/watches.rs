//! Watches through one proxy: more than one connection may have, in order, cancelled, and read
//! slowly. `tests/bench/watches.rs` does the same at scale.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use http::{Method, StatusCode};

use crate::{
    kit::{
        client::Target,
        upstream::Upstream,
        watch::{open, open_many, until},
    },
    support::proxy::TestProxy,
};

const LONGEST: Duration = Duration::from_secs(10);

async fn start() -> (Upstream, TestProxy, Target) {
    let upstream = Upstream::start().await;
    let proxy = TestProxy::start(&upstream.url, &upstream.authority.certificate_pem()).await;
    let target = Target::new(&proxy.url, &proxy.authority);
    (upstream, proxy, target)
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_beyond_the_streams_of_a_connection_lose_and_reorder_nothing() {
    let (upstream, proxy, target) = start().await;
    let (senders, watches) = open_many(&target, 3, 90, "every=100000&bytes=200").await;
    assert_eq!(upstream.records.watches_open.load(Ordering::Relaxed), 270);
    // While all of them are open, other requests are answered.
    for mut sender in senders {
        let request = target.request(Method::GET, "/api/v1/pods/p", b"");
        let response = tokio::time::timeout(LONGEST, sender.send_request(request)).await;
        assert_eq!(response.unwrap().unwrap().status(), StatusCode::OK);
    }
    let mut reading = tokio::task::JoinSet::new();
    for mut watch in watches {
        reading.spawn(async move { watch.read(20).await.len() });
    }
    let events = tokio::time::timeout(6 * LONGEST, reading.join_all()).await;
    assert_eq!(events.unwrap().iter().sum::<usize>(), 270 * 20);
    let none_open = || upstream.records.watches_open.load(Ordering::Relaxed) == 0;
    assert!(until(LONGEST, none_open).await.is_some());
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_watch_frees_its_stream_and_leaves_its_connection_alone() {
    let (upstream, proxy, target) = start().await;
    let mut sender = target.http2().await.unwrap();
    let mut stays = open(&mut sender, &target, "every=10000").await.unwrap();
    for number in 0..20 {
        let query = format!("every=10000&id={number}");
        let mut watch = open(&mut sender, &target, &query).await.unwrap();
        watch.read(1).await;
        let cancelled = Instant::now();
        drop(watch);
        let gone = || upstream.records.ended(&number.to_string()).is_some();
        assert!(until(LONGEST, gone).await.is_some(), "watch {number} leaks");
        let ended = upstream.records.ended(&number.to_string()).unwrap();
        assert!(ended - cancelled < Duration::from_secs(2));
    }
    stays.read(10).await;
    assert_eq!(
        upstream.records.connections_opened.load(Ordering::Relaxed),
        1
    );
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_frames_to_a_slow_reader_end_no_connection() {
    const FRAMES: u64 = 30_000;
    let (upstream, proxy, target) = start().await;
    let mut sender = target.http2().await.unwrap();
    let mut other = open(&mut sender, &target, "every=5000").await.unwrap();
    let query = format!("count={FRAMES}&bytes=17");
    let mut slow = open(&mut sender, &target, &query).await.unwrap();
    // Such is the reader: first it reads nothing at all, then little by little.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pause = Duration::from_millis(1);
    let read = slow.read_slowly(FRAMES, 200, pause);
    tokio::time::timeout(6 * LONGEST, read).await.unwrap();
    assert_eq!(slow.events(), FRAMES);
    other.read(20).await;
    assert_eq!(
        upstream.records.connections_opened.load(Ordering::Relaxed),
        1
    );
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_is_not_waited_for() {
    let (upstream, proxy, target) = start().await;
    let patience = Duration::from_millis(300);
    let path = "/api/v1/pods/p?delay=60000";
    let mut http1 = target.http1().await.unwrap();
    let request = target.request_http1(Method::GET, path, b"");
    let answer = http1.send_request(request);
    assert!(tokio::time::timeout(patience, answer).await.is_err());
    drop(http1);
    let mut http2 = target.http2().await.unwrap();
    let request = target.request(Method::GET, path, b"");
    let answer = http2.send_request(request);
    assert!(tokio::time::timeout(patience, answer).await.is_err());
    drop(http2);
    let open = || upstream.records.connections_open.load(Ordering::Relaxed);
    assert!(until(LONGEST, || open() == 0).await.is_some());
    let books = proxy.admin.snapshot().await.unwrap();
    assert_eq!(
        (books.rows[0].outcome.reason(), books.rows[0].answered),
        (Some("client_gone"), 2)
    );
    proxy.stop().await;
}
