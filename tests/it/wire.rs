//! The proxy byte by byte: a raw client, and an upstream that records what arrives.

use identity::mint::Authority;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::support::{
    proxy::TestProxy,
    wire::{LONGEST, Upstream, books, connect, counted, exchange, read_head},
};

const EXEC: &str = "/api/v1/namespaces/n/pods/p/exec?command=a%20b";

fn upgrade(protocol: &str, more: &str) -> Vec<u8> {
    format!("GET {EXEC} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer T\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nX-Stream-Protocol-Version: v5\r\nX-Stream-Protocol-Version: v4\r\n\r\n{more}").into_bytes()
}

#[tokio::test]
async fn an_upgrade_passes_with_its_early_bytes_and_is_counted_once() {
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\nhello ";
    let mut upstream = Upstream::echo(answer).await;
    let proxy = upstream.proxy().await;
    let mut stream = connect(&proxy).await;
    stream
        .write_all(&upgrade("SPDY/3.1", "early "))
        .await
        .unwrap();
    let (head, mut got) = timeout(LONGEST, read_head(&mut stream))
        .await
        .unwrap()
        .unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    stream.write_all(b"late").await.unwrap();
    while got.len() < b"hello early late".len() {
        let mut buffer = [0; 64];
        let count = timeout(LONGEST, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        got.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(got, b"hello early late");
    stream.shutdown().await.unwrap();
    timeout(LONGEST, upstream.closed.recv())
        .await
        .unwrap()
        .unwrap();
    let head = &upstream.heads()[0];
    assert!(
        head.starts_with(&format!("GET {EXEC} HTTP/1.1\r\n")),
        "{head}"
    );
    assert_eq!(
        head.matches("X-Stream-Protocol-Version: v").count(),
        2,
        "{head}"
    );
    drop(stream);
    let books = books(&proxy).await;
    assert_eq!(
        counted(&books, |call| call.subresource == "exec"),
        [("101".into(), String::new(), 1)]
    );
    proxy.stop().await;
}

#[tokio::test]
async fn an_idle_tunnel_holds_its_place_and_does_not_outlive_the_time_to_drain() {
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let upstream = Upstream::echo(answer).await;
    let options = proxy::Options {
        connections_max: 1,
        ..Default::default()
    };
    let proxy = upstream.proxy_with(options).await;
    let mut stream = connect(&proxy).await;
    stream.write_all(&upgrade("websocket", "")).await.unwrap();
    let head = timeout(LONGEST, read_head(&mut stream)).await.unwrap();
    assert!(head.unwrap().0.starts_with("HTTP/1.1 101"));
    let mut second = tokio::net::TcpStream::connect(proxy.url.trim_start_matches("https://"))
        .await
        .unwrap();
    let turned_away = timeout(LONGEST, second.read(&mut [0])).await.unwrap();
    assert!(matches!(turned_away, Ok(0) | Err(_)), "{turned_away:?}");
    timeout(LONGEST, proxy.stop()).await.unwrap();
    let ended = timeout(LONGEST, stream.read(&mut [0])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test]
async fn a_refused_upgrade_is_told_and_its_connection_is_used_for_nothing_else() {
    let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    let upstream = Upstream::echo(answer).await;
    let proxy = upstream.proxy().await;
    let second = "GET /api/v1/secrets HTTP/1.1\r\nHost: p\r\n\r\n";
    let (head, body) = exchange(&proxy, &upgrade("websocket", second)).await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    assert_eq!(body, b"no");
    assert_eq!(upstream.heads().len(), 1, "{:?}", upstream.heads());
    proxy.stop().await;
}

#[tokio::test]
async fn an_upgrade_that_is_answered_with_neither_a_switch_nor_a_refusal_is_502() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 302 Found\r\nLocation: https://evil/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    ] {
        let upstream = Upstream::echo(answer).await;
        let proxy = upstream.proxy().await;
        let (head, _) = exchange(&proxy, &upgrade("websocket", "")).await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert!(!head.contains("evil"), "{head}");
        proxy.stop().await;
    }
}

#[tokio::test]
async fn what_no_proxy_may_forward_never_reaches_the_api_server() {
    let upstream = Upstream::echo(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let proxy = upstream.proxy().await;
    for (request, status) in [
        ("CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n", "405"),
        ("GET /api/v1/%zz HTTP/1.1\r\nHost: p\r\n\r\n", "400"),
        (
            "GET /api HTTP/1.1\r\nHost: p\r\nConnection: close, Impersonate-User\r\nImpersonate-User: x\r\n\r\n",
            "400",
        ),
        (
            "GET /api HTTP/1.1\r\nHost: p\r\nConnection: X_Remote_User\r\n\r\n",
            "400",
        ),
        (
            "GET /api HTTP/1.1\r\nHost: p\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "400",
        ),
        (
            "GET /api HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "400",
        ),
        ("GET /api\x01 HTTP/1.1\r\nHost: p\r\n\r\n", "400"),
    ] {
        let (head, _) = exchange(&proxy, request.as_bytes()).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}: {head}"
        );
    }
    assert!(upstream.heads().is_empty(), "{:?}", upstream.heads());
    let refused: u64 = books(&proxy)
        .await
        .rows
        .iter()
        .filter(|row| row.outcome.reason() == Some("refused"))
        .map(|row| row.answered)
        .sum();
    assert_eq!(refused, 4);
    proxy.stop().await;
}

#[tokio::test]
async fn targets_arrive_as_they_were_sent_and_spoofed_identities_do_not_arrive() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let upstream = Upstream::echo(answer).await;
    let proxy = upstream.proxy().await;
    let targets = [
        "//api/v1/pods",
        "/api/v1/./pods/../x/%2e%2e/%2F%252f",
        "/%61pi/v1/pods%00;a=b",
        "/api/v1/pods?watch=false&watch=true&x=1;y&%ZZ=+",
        "/api/v1/pods?",
        "/api/v1/watch",
    ];
    for target in targets {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: p\r\nX-Remote-User: admin\r\nx_remote_group: system:masters\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nAuthorization: Bearer t\r\n\r\n"
        );
        let (head, _) = exchange(&proxy, request.as_bytes()).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{target}: {head}");
    }
    for (head, target) in upstream.heads().iter().zip(targets) {
        assert!(
            head.starts_with(&format!("GET {target} HTTP/1.1\r\n")),
            "{head}"
        );
        let lower = head.to_lowercase();
        for gone in ["remote", "upgrade", "http2-settings", "keep-alive"] {
            assert!(!lower.contains(gone), "{head}");
        }
        assert!(
            lower.contains("x-forwarded-for: 1.2.3.4, 127.0.0.1\r\n"),
            "{head}"
        );
        assert!(head.contains("Authorization: Bearer t\r\n"), "{head}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn an_event_is_delivered_at_once_and_a_client_that_leaves_ends_the_watch() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n";
    let mut upstream = Upstream::echo(answer).await;
    let proxy = upstream.proxy().await;
    let mut stream = connect(&proxy).await;
    let request = b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: p\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let (head, mut body) = timeout(LONGEST, read_head(&mut stream))
        .await
        .unwrap()
        .unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    while !body.ends_with(b"event\r\n") {
        let mut buffer = [0; 64];
        let count = timeout(LONGEST, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        body.extend_from_slice(&buffer[..count]);
    }
    let open = books(&proxy).await;
    assert_eq!(
        counted(&open, |call| call.verb == "watch"),
        [("200".into(), String::new(), 1)]
    );
    assert_eq!((open.calls[0].opened, open.calls[0].closed), (1, 0));
    drop(stream);
    timeout(LONGEST, upstream.closed.recv())
        .await
        .unwrap()
        .unwrap();
    let closed = books(&proxy).await;
    assert_eq!((closed.calls[0].opened, closed.calls[0].closed), (1, 1));
    assert_eq!(
        (closed.rows[0].cut_short, closed.rows[0].response_bytes),
        (1, 5)
    );
    proxy.stop().await;
}

/// Go's server answers it, too.
#[tokio::test]
async fn a_client_that_has_only_ended_its_side_gets_its_answer() {
    let slow = Upstream::answering_late(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let proxy = slow.proxy().await;
    for requests in [1, 3] {
        let request = "GET /api HTTP/1.1\r\nHost: p\r\n\r\n".repeat(requests);
        let mut stream = connect(&proxy).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(LONGEST, stream.read_to_end(&mut answer)).await;
        read.expect("the connection ends").unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(
            answer.matches("HTTP/1.1 200 ").count(),
            requests,
            "{answer}"
        );
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
    proxy.stop().await;
}

/// A request that never gets its answer, and a watch, of which nothing comes: who has left can't
/// be told from who has only ended its side.
#[tokio::test]
async fn a_client_that_has_left_is_waited_for_by_nobody() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut upstream = Upstream::echo(answer).await;
    let proxy = upstream.proxy().await;
    for target in [
        "/api/v1/pods?watch=1",
        "/api/v1/namespaces/n/pods/p/log?follow=1",
        "/debug/pprof/profile?seconds=30",
        "/api/v1/pods",
    ] {
        let mut stream = connect(&proxy).await;
        let request = format!("GET {target} HTTP/1.1\r\nHost: p\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = timeout(LONGEST, read_head(&mut stream)).await.unwrap();
        assert!(head.unwrap().0.starts_with("HTTP/1.1 200"));
        stream.shutdown().await.unwrap();
        timeout(LONGEST, upstream.closed.recv())
            .await
            .unwrap()
            .unwrap();
    }
    let books = books(&proxy).await;
    for row in &books.rows {
        assert_eq!((row.answered, row.cut_short), (1, 1), "{row:?}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn an_api_server_that_cannot_be_reached_or_trusted_is_said_in_kubernetes_words() {
    let upstream = Upstream::echo(b"").await;
    let stranger = Authority::new("stranger").unwrap().certificate_pem();
    let untrusted = TestProxy::start(&upstream.url, &stranger).await;
    let nobody = TestProxy::start("https://127.0.0.1:1", &stranger).await;
    for (proxy, reason) in [(untrusted, "tls"), (nobody, "connect")] {
        for (target, status) in [("/api/v1/pods", "503"), ("/api/v1/pods?watch=1", "429")] {
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer secret\r\n\r\n");
            let (head, body) = exchange(&proxy, request.as_bytes()).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
            assert!(head.to_lowercase().contains("retry-after: 1\r\n"), "{head}");
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(
                (&body["kind"], &body["status"]),
                (&"Status".into(), &"Failure".into())
            );
            assert!(!body.to_string().contains("secret"));
        }
        let books = books(&proxy).await;
        assert!(
            books
                .rows
                .iter()
                .all(|row| row.outcome.reason() == Some(reason)),
            "{books:?}"
        );
        proxy.stop().await;
    }
    assert!(upstream.heads().is_empty());
}
