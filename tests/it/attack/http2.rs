//! HTTP/2 that is meant to cost more than it says: the proxy gives each connection only so much,
//! and the API server hears little of it.

use std::time::Duration;

use tokio::time::timeout;

use crate::support::{
    http2::{
        self, ACK, CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frame,
        GOAWAY, HEADERS, PING, PRIORITY, PROTOCOL_ERROR, RST_STREAM, SETTINGS, WINDOW_UPDATE, get,
    },
    recorder::Recorder,
    traced::TracedProxy,
    wire::{LONGEST, books},
};

/// More than a connection may take back, and then some.
const RESETS_SEEN_MAX: usize = 1_000;

/// The proxy serves others as before.
async fn serves(process: &TracedProxy) {
    let mut client = Client::connect_to(&process.url, &process.authority, &[]).await;
    client
        .send(&Frame::head(1, true, &get("/api/v1/pods")))
        .await;
    assert_eq!(client.status(1).await, 200);
}

async fn client(process: &TracedProxy) -> Client {
    Client::connect_to(&process.url, &process.authority, &[]).await
}

/// Sends until the proxy ends the connection or the list is at its end; gives the reason.
async fn flood(client: &mut Client, frames: impl Iterator<Item = Vec<u8>>) -> Option<u32> {
    for bytes in frames {
        if !client.send_bytes(&bytes).await {
            break;
        }
    }
    client.end().await
}

/// The next odd numbers.
fn streams(count: usize) -> impl Iterator<Item = u32> {
    (0..u32::try_from(count).unwrap()).map(|number| 2 * number + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_taken_back_at_once_are_stopped_before_the_api_server_sees_them() {
    let recorder = Recorder::start(1).await;
    let process = TracedProxy::start(&recorder.url, &recorder.ca_pem).await;
    serves(&process).await;
    let before = process.resident_kib();
    let pairs = |watch: &'static str| {
        streams(super::scaled(10_000)).map(move |stream| {
            let mut bytes = Frame::head(stream, true, &get(watch)).bytes();
            bytes.extend(Frame::reset(stream, http2::CANCEL).bytes());
            bytes
        })
    };
    let mut attacker = client(&process).await;
    let all: Vec<u8> = pairs("/api/v1/pods").flatten().collect();
    let reason = flood(&mut attacker, std::iter::once(all)).await;
    assert!(
        reason.is_none_or(|reason| reason == ENHANCE_YOUR_CALM),
        "{reason:?}"
    );
    let grown = process.grown_kib(before);
    assert!(grown < 32 << 10, "{grown} KiB");
    assert!(recorder.count() < RESETS_SEEN_MAX, "{}", recorder.count());
    serves(&process).await;
}

/// Slow enough for each request to be taken up: what the library counts is not enough here.
#[tokio::test(flavor = "multi_thread")]
async fn requests_taken_back_one_by_one_are_stopped_too() {
    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let mut attacker = Client::connect(&proxy, &[]).await;
    let mut sent = 0;
    for stream in streams(5_000) {
        let head = Frame::head(stream, true, &get("/api/v1/pods?hang"));
        if !attacker.send(&head).await {
            break;
        }
        // The pace of the attack.
        tokio::time::sleep(Duration::from_micros(200)).await;
        if !attacker.send(&Frame::reset(stream, http2::CANCEL)).await {
            break;
        }
        sent += 1;
    }
    attacker.end().await;
    assert!(sent < 5_000, "{sent}");
    assert!(recorder.count() < 5_000, "{}", recorder.count());
    let books = books(&proxy).await;
    assert_eq!(
        books
            .calls
            .iter()
            .map(|call| call.opened - call.closed)
            .sum::<u64>(),
        0
    );
    proxy.stop().await;
}

/// A component that stops takes back all it has, and may.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_stops_its_watches_keeps_its_connection() {
    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let mut client = Client::connect(&proxy, &[]).await;
    for stream in streams(100) {
        client
            .send(&Frame::head(stream, true, &get("/api/v1/pods?watch=1")))
            .await;
        assert_eq!(client.status(stream).await, 200);
    }
    for stream in streams(100) {
        client.send(&Frame::reset(stream, http2::CANCEL)).await;
    }
    client
        .send(&Frame::head(201, true, &get("/api/v1/pods")))
        .await;
    assert_eq!(client.status(201).await, 200);
    proxy.stop().await;
}

/// Errors that make the server reset streams itself: a window update of 0, one that is too
/// large, data behind the end.
#[tokio::test(flavor = "multi_thread")]
async fn resets_that_the_client_provokes_are_counted_as_well() {
    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let provoke: [fn(u32) -> Frame; 3] = [
        |stream| Frame::new(WINDOW_UPDATE, 0, stream, 0_u32.to_be_bytes()),
        |stream| Frame::new(WINDOW_UPDATE, 0, stream, 0x7fff_ffff_u32.to_be_bytes()),
        |stream| Frame::new(DATA, 0, stream, "late"),
    ];
    for provoked in provoke {
        let seen = recorder.count();
        let mut attacker = Client::connect(&proxy, &[]).await;
        let frames = streams(3_000).map(|stream| {
            let mut bytes = Frame::head(stream, true, &get("/api/v1/pods?watch=1")).bytes();
            bytes.extend(provoked(stream).bytes());
            bytes
        });
        flood(&mut attacker, frames).await;
        assert!(
            recorder.count() - seen < 1_500,
            "{}",
            recorder.count() - seen
        );
    }
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_an_end_ends_the_connection() {
    let recorder = Recorder::start(1).await;
    let process = TracedProxy::start(&recorder.url, &recorder.ca_pem).await;
    serves(&process).await;
    let before = process.resident_kib();
    for payload in [
        Vec::new(),
        vec![0; 16 << 10],
        http2::head_block(&[("x", "y")]),
    ] {
        let mut attacker = client(&process).await;
        let head = http2::head_block(&get("/api"));
        let first = Frame::new(HEADERS, END_STREAM, 1, head).bytes();
        let more = (0..super::scaled(10_000))
            .map(|_| Frame::new(CONTINUATION, 0, 1, payload.clone()).bytes());
        flood(&mut attacker, std::iter::once(first).chain(more)).await;
    }
    let grown = process.grown_kib(before);
    assert!(grown < 32 << 10, "{grown} KiB");
    assert_eq!(recorder.count(), 1);
    serves(&process).await;
}

/// One entry of 4,000 bytes in the table, then thousands of references of one byte each.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_head_that_unpacks_to_megabytes_is_refused() {
    let recorder = Recorder::start(1).await;
    let process = TracedProxy::start(&recorder.url, &recorder.ca_pem).await;
    serves(&process).await;
    let before = process.resident_kib();
    let mut attacker = client(&process).await;
    let mut block = http2::head_block(&get("/api"));
    let mut entry = http2::head_block(&[("x", &"y".repeat(4_000))]);
    entry[0] = 0x40;
    block.extend(entry);
    block.extend(vec![0xbe; 16_000 - block.len()]);
    for stream in streams(20) {
        let frame = Frame::new(HEADERS, END_STREAM | END_HEADERS, stream, block.clone());
        if !attacker.send(&frame).await {
            break;
        }
    }
    let answers = attacker.frames_within(Duration::from_secs(1)).await;
    let heads = answers.iter().filter(|frame| frame.kind == HEADERS);
    assert!(heads.map(Frame::status).all(|status| status == 431));
    assert_eq!(recorder.count(), 1);
    let grown = process.grown_kib(before);
    assert!(grown < 32 << 10, "{grown} KiB");
    serves(&process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_without_a_request_cost_no_memory() {
    let recorder = Recorder::start(1).await;
    let process = TracedProxy::start(&recorder.url, &recorder.ca_pem).await;
    serves(&process).await;
    let before = process.resident_kib();
    let post = {
        let mut headers = get("/api").to_vec();
        headers[0] = (":method", "POST");
        Frame::head(1, false, &headers).bytes()
    };
    let floods = [
        ("ping", Vec::new(), Frame::new(PING, 0, 0, *b"12345678")),
        ("settings", Vec::new(), http2::settings(&[(4, 65_535)])),
        ("settings ack", Vec::new(), Frame::new(SETTINGS, ACK, 0, [])),
        (
            "priority",
            Vec::new(),
            Frame::new(PRIORITY, 0, 1, [0, 0, 0, 0, 16]),
        ),
        ("empty data", post.clone(), Frame::new(DATA, 0, 1, [])),
        ("padding", post, Frame::new(DATA, 8, 1, [0])),
        ("unknown", Vec::new(), Frame::new(0x42, 0, 1, [0; 64])),
        (
            "window",
            Vec::new(),
            Frame::new(WINDOW_UPDATE, 0, 0, 1_u32.to_be_bytes()),
        ),
    ];
    for (name, first, frame) in floods {
        let mut attacker = client(&process).await;
        attacker.send_bytes(&first).await;
        let many = frame.bytes().repeat(100);
        // Nothing is read: answers pile up wherever they can.
        for _ in 0..super::scaled(200) {
            let sent = timeout(Duration::from_millis(200), attacker.send_bytes(&many)).await;
            if sent != Ok(true) {
                break;
            }
        }
        let grown = process.grown_kib(before);
        assert!(grown < 32 << 10, "{name}: {grown} KiB");
    }
    serves(&process).await;
}

/// 100 lists of megabytes for a client that takes none of it.
#[tokio::test(flavor = "multi_thread")]
async fn responses_that_nobody_takes_wait_at_the_api_server() {
    let recorder = Recorder::start(8 << 20).await;
    let process = TracedProxy::start(&recorder.url, &recorder.ca_pem).await;
    let before = process.resident_kib();
    let mut attacker = Client::connect_to(&process.url, &process.authority, &[(4, 0)]).await;
    for stream in streams(100) {
        attacker
            .send(&Frame::head(stream, true, &get("/api/v1/pods")))
            .await;
        assert_eq!(attacker.status(stream).await, 200);
    }
    process.idle().await;
    let grown = process.grown_kib(before);
    // 100 windows of 256 KiB and what is around them, of 800 MiB that want to come.
    assert!(grown < 64 << 10, "{grown} KiB");
    serves(&process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_a_hundred_streams_and_no_more() {
    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let mut client = Client::connect(&proxy, &[]).await;
    // None is answered, so that all of them are open when the last one comes.
    let mut post = get("/hang").to_vec();
    post[0] = (":method", "POST");
    for stream in streams(101) {
        client.send(&Frame::head(stream, false, &post)).await;
    }
    let refused = client.find(|frame| frame.kind == RST_STREAM).await;
    assert_eq!(
        (refused.stream, refused.reason()),
        (201, http2::REFUSED_STREAM)
    );
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_break_the_protocol_end_the_connection() {
    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let bad = [
        Frame::new(DATA, 0, 0, "x"),
        Frame::new(HEADERS, END_HEADERS, 2, http2::head_block(&get("/api"))),
        Frame::new(HEADERS, END_HEADERS, 1, [0xff; 20]),
        Frame::new(CONTINUATION, END_HEADERS, 1, []),
        Frame::new(SETTINGS, 0, 1, []),
        Frame::new(SETTINGS, 0, 0, [0; 5]),
        Frame::new(PING, 0, 0, [0; 7]),
        Frame::new(5, END_HEADERS, 1, [0, 0, 0, 2]),
        Frame::new(WINDOW_UPDATE, 0, 0, 0x7fff_ffff_u32.to_be_bytes()),
        Frame::new(DATA, 0, 1, vec![0; 20 << 10]),
        Frame::new(GOAWAY, 0, 1, [0; 8]),
        http2::settings(&[(4, u32::MAX)]),
        http2::settings(&[(5, 1)]),
    ];
    for frame in bad {
        let mut client = Client::connect(&proxy, &[]).await;
        client.send(&frame).await;
        let reason = client.end().await;
        assert!(
            reason.is_none_or(|reason| reason != 0),
            "{frame:?}: {reason:?}"
        );
    }
    assert_eq!(recorder.count(), 0);
    proxy.stop().await;
}

#[tokio::test]
async fn http2_is_spoken_only_where_it_was_agreed_on() {
    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let answer = crate::support::wire::last_words(&proxy, preface.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    let mut client = Client::connect(&proxy, &[]).await;
    client
        .send_bytes(b"GET / HTTP/1.1\r\nHost: p\r\n\r\n")
        .await;
    let reason = timeout(LONGEST, client.end()).await.unwrap();
    assert!(
        reason.is_none_or(|reason| reason == PROTOCOL_ERROR || reason == 6),
        "{reason:?}"
    );
    assert_eq!(recorder.count(), 0);
    proxy.stop().await;
}

/// Half of a body is never the whole of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_taken_back_in_its_body_does_not_arrive_as_a_whole_one() {
    for reason in [0, http2::CANCEL, http2::REFUSED_STREAM] {
        let (sender, mut ends) = tokio::sync::mpsc::unbounded_channel();
        let listener = crate::support::wire::TlsListener::bind(&["h2"]).await;
        let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
        listener.serve(move |stream| {
            let sender = sender.clone();
            async move {
                let mut server = http2::Peer::serve(stream, &[]).await.unwrap();
                while let Some(frame) = server.next().await {
                    let _ = sender.send(frame);
                }
            }
        });
        let proxy = crate::support::proxy::TestProxy::start(&url, &ca_pem).await;
        let mut client = Client::connect(&proxy, &[]).await;
        let mut post = get("/api/v1/namespaces/n/pods").to_vec();
        post[0] = (":method", "POST");
        client.send(&Frame::head(1, false, &post)).await;
        client.send(&Frame::new(DATA, 0, 1, "a: b\n")).await;
        assert_eq!(ends.recv().await.unwrap().kind, HEADERS);
        assert_eq!(ends.recv().await.unwrap().kind, DATA);
        client.send(&Frame::reset(1, reason)).await;
        let end = timeout(LONGEST, ends.recv()).await.unwrap().unwrap();
        assert_eq!(end.kind, RST_STREAM, "{reason}: {end:?}");
        assert!(
            matches!(end.reason(), http2::CANCEL | http2::INTERNAL_ERROR),
            "{end:?}"
        );
        proxy.stop().await;
    }
}
