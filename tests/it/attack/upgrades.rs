//! Upgrades: a tunnel is opened only to what was asked for, and is used for nothing else.

use identity::mint::Authority;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::support::{
    http2::{Client, Frame, HEADERS, PROTOCOL_ERROR, RST_STREAM},
    proxy::TestProxy,
    recorder::Recorder,
    wait,
    wire::{LONGEST, Upstream, books, connect, counted, exchange, last_words, read_head},
};

const EXEC: &str = "/api/v1/namespaces/n/pods/p/exec";
const NEXT: &str = "GET /api/v1/namespaces/kube-system/secrets HTTP/1.1\r\nHost: p\r\n\r\n";

fn upgrade(lines: &str) -> String {
    format!("GET {EXEC} HTTP/1.1\r\nHost: p\r\n{lines}\r\n{NEXT}")
}

#[tokio::test]
async fn after_a_refused_upgrade_nothing_more_is_sent_on_either_connection() {
    for answer in [
        &b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"[..],
        b"HTTP/1.1 404 Not Found\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",
    ] {
        let upstream = Upstream::echo(answer).await;
        let proxy = upstream.proxy().await;
        for protocol in ["websocket", "SPDY/3.1"] {
            let request = upgrade(&format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n"));
            let answer = last_words(&proxy, request.as_bytes()).await;
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
            assert!(answer.to_lowercase().contains("connection: close\r\n"), "{answer}");
            assert!(answer.contains("no"), "{answer}");
        }
        let recorded = upstream.recorded();
        assert_eq!(recorded.len(), 2);
        assert!(!recorded.concat().contains("kube-system"), "{recorded:?}");
        proxy.stop().await;
    }
}

/// Also where nothing follows: the client need not end its connection itself, whoever refuses.
#[tokio::test]
async fn a_refused_upgrade_ends_the_clients_connection() {
    const WANTED: &str = "Connection: Upgrade\r\n";
    for (answer, lines) in [
        (
            &b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"[..],
            WANTED,
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
            "Connection: keep-alive, Upgrade\r\n",
        ),
        // The proxy's own answers: to no upgrade, to two lengths, to what may not be sent on.
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", WANTED),
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2, 2\r\n\r\nno",
            WANTED,
        ),
        (b"", "Connection: Upgrade\r\nConnection: Authorization\r\n"),
        // What goes on as a plain request.
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "Connection: Upgrade, close\r\nUpgrade: h2c\r\n",
        ),
    ] {
        let upstream = Upstream::echo(answer).await;
        let proxy = upstream.proxy().await;
        for protocol in ["websocket", "SPDY/3.1"] {
            let request =
                format!("GET {EXEC} HTTP/1.1\r\nHost: p\r\n{lines}Upgrade: {protocol}\r\n\r\n");
            let answer = ended_well(&proxy, request.as_bytes()).await;
            let lower = answer.to_lowercase();
            assert!(lower.contains("connection: close\r\n"), "{answer}");
        }
        proxy.stop().await;
    }
    let ca_pem = Authority::new("nobody").unwrap().certificate_pem();
    let proxy = TestProxy::start("https://127.0.0.1:1", &ca_pem).await;
    let request = format!("GET {EXEC} HTTP/1.1\r\nHost: p\r\n{WANTED}Upgrade: websocket\r\n\r\n");
    let answer = ended_well(&proxy, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    proxy.stop().await;
}

/// Everything that comes back until the end, which TLS says.
async fn ended_well(proxy: &TestProxy, request: &[u8]) -> String {
    let mut stream = connect(proxy).await;
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    let read = timeout(LONGEST, stream.read_to_string(&mut answer)).await;
    read.expect("the proxy closes the connection").unwrap();
    answer
}

#[tokio::test]
async fn neither_a_redirect_nor_another_protocol_opens_a_tunnel() {
    for (answer, protocol) in [
        (
            &b"HTTP/1.1 302 Found\r\nLocation: https://evil/\r\nContent-Length: 0\r\n\r\n"[..],
            "websocket",
        ),
        (
            b"HTTP/1.1 307 Found\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "SPDY/3.1",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "SPDY/3.1"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "websocket"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
            "websocket",
        ),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\n",
            "websocket",
        ),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            "websocket",
        ),
    ] {
        let upstream = Upstream::echo(answer).await;
        let proxy = upstream.proxy().await;
        let request = upgrade(&format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n"));
        let (head, _) = exchange(&proxy, request.as_bytes()).await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert!(
            !head.contains("evil") && !head.to_lowercase().contains("retry-after"),
            "{head}"
        );
        let recorded = upstream.recorded();
        assert!(
            recorded.iter().all(|bytes| !bytes.contains("kube-system")
                || bytes.starts_with("GET /api/v1/namespaces/kube-system")),
            "{recorded:?}"
        );
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_redirect_of_a_plain_request_goes_to_the_client_and_is_not_followed() {
    let evil = Upstream::serving().await;
    let answer = format!(
        "HTTP/1.1 301 Moved\r\nLocation: {}/x\r\nContent-Length: 0\r\n\r\n",
        evil.url
    );
    let upstream = Upstream::answering(answer.clone().leak().as_bytes()).await;
    let proxy = upstream.proxy().await;
    let (head, _) = exchange(&proxy, b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 301"), "{head}");
    assert!(head.contains(&evil.url), "{head}");
    assert!(evil.recorded().is_empty());
    proxy.stop().await;
}

#[tokio::test]
async fn what_is_no_upgrade_of_kubernetes_goes_on_as_a_plain_request() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let plain = [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Upgrade: websocket\r\n",
        "Connection: keep-alive\r\nUpgrade: SPDY/3.1\r\n",
        "Connection: upgrade\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 1\r\n\r\nx",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
    ];
    for lines in plain {
        let has_body = lines.contains("\r\n\r\n");
        let end = if lines.ends_with('x') { "" } else { "\r\n" };
        let request =
            format!("POST {EXEC} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer T\r\n{lines}{end}");
        let (head, _) = exchange(&proxy, request.as_bytes()).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{lines}: {head}");
        let arrived = upstream.recorded().concat();
        let arrived = arrived.rsplit("POST ").next().unwrap().to_lowercase();
        assert!(
            !arrived.contains("upgrade") && !arrived.contains("http2-settings"),
            "{arrived}"
        );
        assert_eq!(
            arrived.contains('x') && arrived.ends_with("x") || arrived.ends_with("x\r\n0\r\n\r\n"),
            has_body,
            "{arrived}"
        );
    }
    let old = format!(
        "GET {EXEC} HTTP/1.0\r\nAuthorization: Bearer T\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    let answer = last_words(&proxy, old.as_bytes()).await;
    assert!(answer.contains(" 200 OK"), "{answer}");
    assert!(
        !upstream
            .recorded()
            .concat()
            .to_lowercase()
            .contains("upgrade")
    );
    let rows = counted(&books(&proxy).await, |call| call.subresource == "exec");
    assert_eq!(rows.iter().map(|row| row.2).sum::<u64>(), 10, "{rows:?}");
    proxy.stop().await;
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_not_passed_on() {
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nsecret";
    let upstream = Upstream::echo(answer).await;
    let proxy = upstream.proxy().await;
    for lines in ["", "Connection: Upgrade\r\nUpgrade: h2c\r\n"] {
        let request = format!("GET /api HTTP/1.1\r\nHost: p\r\n{lines}\r\n");
        let (head, body) = exchange(&proxy, request.as_bytes()).await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert!(!String::from_utf8(body).unwrap().contains("secret"));
    }
    proxy.stop().await;
}

#[tokio::test]
async fn bytes_sent_too_early_reach_nobody_when_the_upgrade_is_refused() {
    let upstream = Upstream::echo(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    let proxy = upstream.proxy().await;
    let head = format!(
        "GET {EXEC} HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    let answer = last_words(&proxy, (head + "\x01\x02early").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(!upstream.recorded().concat().contains("early"));
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_tunnels_cost_one_connection_each_and_leave_nothing() {
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let mut upstream = Upstream::echo(answer).await;
    let proxy = upstream.proxy().await;
    let count = super::scaled(100);
    let mut tunnels = Vec::new();
    for _ in 0..count {
        let mut stream = connect(&proxy).await;
        let head = format!(
            "GET {EXEC} HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let (head, _) = timeout(LONGEST, read_head(&mut stream))
            .await
            .unwrap()
            .unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        tunnels.push(stream);
    }
    assert_eq!(upstream.recorded().len(), count);
    let books_open = books(&proxy).await;
    assert_eq!(
        books_open.calls[0].opened - books_open.calls[0].closed,
        count as u64
    );
    drop(tunnels);
    for _ in 0..count {
        timeout(LONGEST, upstream.closed.recv())
            .await
            .unwrap()
            .unwrap();
    }
    wait::until("the end of each tunnel in the books", async || {
        let call = &books(&proxy).await.calls[0];
        call.opened == call.closed
    })
    .await;
    proxy.stop().await;
}

#[tokio::test]
async fn connect_and_extended_connect_open_no_tunnel_over_http2() {
    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let mut client = Client::connect(&proxy, &[]).await;
    let extended = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "p"),
        (":path", EXEC),
    ];
    client.send(&Frame::head(1, false, &extended)).await;
    let reset = client.find(|frame| frame.stream == 1).await;
    assert_eq!((reset.kind, reset.reason()), (RST_STREAM, PROTOCOL_ERROR));
    let plain = [(":method", "CONNECT"), (":authority", "evil:443")];
    client.send(&Frame::head(3, false, &plain)).await;
    let answer = client.find(|frame| frame.stream == 3).await;
    assert!(answer.kind == RST_STREAM || answer.kind == HEADERS && answer.status() == 405);
    assert_eq!(recorder.count(), 0);
    proxy.stop().await;
}

#[tokio::test]
async fn a_tunnel_that_one_side_ends_passes_on_the_end() {
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let upstream = Upstream::once(answer).await;
    let proxy = upstream.proxy().await;
    let mut stream = connect(&proxy).await;
    let head = format!(
        "GET {EXEC} HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let _ = timeout(LONGEST, stream.read_to_end(&mut all))
        .await
        .expect("the end arrives");
    assert!(all.starts_with(b"HTTP/1.1 101"));
    drop(stream);
    proxy.stop().await;
}
