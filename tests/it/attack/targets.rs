//! Targets, byte by byte: what was sent arrives, or nothing does.

use crate::support::{
    http2::{self, Client, Frame, GOAWAY, HEADERS},
    recorder::Recorder,
    wait,
    wire::{Upstream, last_words},
};

/// Where a byte may stand: the targets before and behind it.
const PLACES: [(&str, &str); 2] = [("/api/v1/pods/a", "0c"), ("/api/v1/pods?a=", "0c")];

/// Bytes that no target may have in this place. Go's server takes most of them; no client of
/// Kubernetes sends them without an escape.
fn is_refused(byte: u8, place: usize) -> bool {
    match byte {
        b'#' | b'<' | b'>' | 0x7f..=0xff => true,
        b'`' => place == 0,
        b'"' => place == 1,
        _ => false,
    }
}

fn target(place: usize, byte: u8) -> Vec<u8> {
    let (before, behind) = PLACES[place];
    [before.as_bytes(), &[byte], behind.as_bytes()].concat()
}

fn cases() -> impl Iterator<Item = (usize, u8)> {
    (0..PLACES.len()).flat_map(|place| (0x21..=0xff).map(move |byte| (place, byte)))
}

/// The targets that arrived at a server of HTTP/1.1.
fn arrived(upstream: &Upstream) -> Vec<Vec<u8>> {
    let heads = upstream.heads();
    let targets = heads.iter().map(|head| head.split(' ').nth(1).unwrap());
    targets
        .map(|target| target.chars().map(|letter| letter as u8).collect())
        .collect()
}

#[tokio::test]
async fn each_byte_of_a_target_arrives_over_http1_or_the_request_is_refused() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let mut expected = Vec::new();
    for (place, byte) in cases() {
        let target = target(place, byte);
        let request = [
            b"GET ",
            &target[..],
            b" HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n",
        ];
        let answer = last_words(&proxy, &request.concat()).await;
        let status = if is_refused(byte, place) {
            "HTTP/1.1 400 "
        } else {
            expected.push(target);
            "HTTP/1.1 200 "
        };
        assert!(answer.starts_with(status), "{byte:#x} {place}: {answer}");
    }
    assert_eq!(arrived(&upstream), expected);
    proxy.stop().await;
}

/// Sends a GET whose path has this byte; says whether it was answered with 200.
async fn is_answered(client: &mut Client, stream: u32, place: usize, byte: u8) -> bool {
    const STANDS_FOR_IT: u8 = b'\t';
    let path = String::from_utf8(target(place, STANDS_FOR_IT)).unwrap();
    let mut head = Frame::head(stream, true, &http2::get(&path));
    let at = head.payload.iter().position(|&byte| byte == STANDS_FOR_IT);
    head.payload[at.unwrap()] = byte;
    client.send(&head).await;
    // Bytes that are not UTF-8 end the whole connection.
    let answer = client.find(|frame| frame.stream == stream || frame.kind == GOAWAY);
    let answer = answer.await;
    answer.kind == HEADERS && answer.status() == 200
}

/// To an API server of HTTP/1.1, and to one of HTTP/2.
#[tokio::test]
async fn each_byte_of_a_target_arrives_over_http2_or_the_request_is_refused() {
    let upstream = Upstream::serving().await;
    let recorder = Recorder::start(1).await;
    let proxies = [upstream.proxy().await, recorder.proxy().await];
    let mut expected = Vec::new();
    for proxy in &proxies {
        expected.clear();
        let mut client = Client::connect(proxy, &[]).await;
        let mut stream = 1;
        for (place, byte) in cases().filter(|(_, byte)| *byte != b'#') {
            let answered = is_answered(&mut client, stream, place, byte).await;
            assert_eq!(answered, !is_refused(byte, place), "{byte:#x} {place}");
            stream += 2;
            if answered {
                expected.push(target(place, byte));
            } else {
                client = Client::connect(proxy, &[]).await;
                stream = 1;
            }
        }
    }
    assert_eq!(arrived(&upstream), expected);
    let recorded = recorder.requests();
    let recorded: Vec<_> = recorded.iter().map(|got| got.target.as_bytes()).collect();
    assert_eq!(recorded, expected);
    for proxy in proxies {
        proxy.stop().await;
    }
}

/// What follows a `#` would be dropped, and the rest may name more than was meant.
#[tokio::test]
async fn a_fragment_is_refused_wherever_it_stands() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    for target in [
        "/api/v1/namespaces/x/pods#x",
        "/api/v1/namespaces/x/pods/#",
        "/api/v1/pods?labelSelector=a#b",
        "/api/v1/pods#?labelSelector=a",
        "#",
        "*#",
        "https://p/api/v1/pods#x",
        "https://p#/api/v1/pods",
    ] {
        for behind in ["", "GET /api HTTP/1.1\r\nHost: p\r\n\r\n"] {
            let request = format!("{behind}DELETE {target} HTTP/1.1\r\nHost: p\r\n\r\n");
            let answer = last_words(&proxy, request.as_bytes()).await;
            assert!(answer.contains("HTTP/1.1 400 "), "{target}: {answer}");
        }
    }
    assert!(
        upstream
            .heads()
            .iter()
            .all(|head| head.starts_with("GET /api "))
    );
    proxy.stop().await;
}

/// The same over HTTP/2, where it ends the connection, for an API server of either version.
#[tokio::test]
async fn a_fragment_over_http2_ends_the_connection() {
    // `/#` in Huffman's code, behind `:path` as a number.
    const HUFFMAN: &[u8] = b"\x04\x83\x63\xfe\xbf";
    let upstream = Upstream::serving().await;
    let recorder = Recorder::start(1).await;
    let proxies = [upstream.proxy().await, recorder.proxy().await];
    let with_path = |path: &str| http2::head_block(&http2::get(path));
    let without_path = http2::head_block(&[(":method", "DELETE"), (":scheme", "https")]);
    for proxy in &proxies {
        for block in [
            with_path("/api/v1/namespaces/x/pods#x"),
            with_path("/api/v1/pods?labelSelector=a#b"),
            [&without_path, HUFFMAN].concat(),
            [&without_path, &b"\x44\x02/#"[..]].concat(),
        ] {
            let mut client = Client::connect(proxy, &[]).await;
            let named = [&http2::get("/api")[..], &[("user-agent", "a/#")]].concat();
            client.send(&Frame::head(1, true, &named)).await;
            assert_eq!(client.status(1).await, 200);
            let flags = http2::END_HEADERS | http2::END_STREAM;
            client.send(&Frame::new(HEADERS, flags, 3, block)).await;
            client.end().await;
        }
        wait::until("each is counted", async || proxy.unparsable() == 4).await;
    }
    assert!(arrived(&upstream).iter().all(|target| target == b"/api"));
    let recorded = recorder.requests();
    assert!(recorded.iter().all(|got| got.target == "/api"));
    assert_eq!((arrived(&upstream).len(), recorded.len()), (4, 4));
    for proxy in proxies {
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_target_that_is_no_path_does_not_become_one() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    for target in [
        "api",
        "?a",
        "\\api",
        "**",
        "*?a",
        "%2fapi",
        "https://evil?a",
    ] {
        let answer = last_words(&proxy, &get(target)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
        let mut client = Client::connect(&proxy, &[]).await;
        client
            .send(&Frame::head(1, true, &http2::get(target)))
            .await;
        let answer = client.find(|frame| frame.stream == 1).await;
        let is_refusal = answer.kind != HEADERS || answer.status() == 400;
        assert!(is_refusal, "{target}: {answer:?}");
    }
    assert!(upstream.heads().is_empty(), "{:?}", upstream.heads());
    // An absolute one loses its scheme, user and host, and nothing else.
    for (target, expected) in [
        ("https://user:password@evil:1//a/../b?c", "//a/../b?c"),
        ("https://evil", "/"),
    ] {
        let answer = last_words(&proxy, &get(target)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{target}: {answer}");
        assert_eq!(arrived(&upstream).pop().unwrap(), expected.as_bytes());
    }
    proxy.stop().await;
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n").into_bytes()
}
