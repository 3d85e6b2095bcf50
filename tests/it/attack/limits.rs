//! TLS, time and descriptors: what a connection costs before it says anything.

use std::{sync::Arc, time::Duration};

use proxy::Options;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use crate::support::{
    http2::{Client, Frame, get},
    lines::assert_line,
    proxy::TestProxy,
    traced::TracedProxy,
    wait,
    wire::{LONGEST, Upstream, client_tls, connect, connect_with, exchange, read_head},
};

/// Waits on a clock that jumps to the next deadline for the end of a connection, and gives the
/// time it took.
async fn end_of(mut stream: impl tokio::io::AsyncRead + Unpin) -> Duration {
    tokio::time::pause();
    let start = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    tokio::time::resume();
    start.elapsed()
}

fn is_about(time: Duration, seconds: u64) -> bool {
    let (least, most) = (
        Duration::from_secs(seconds - 1),
        Duration::from_secs(seconds + 20),
    );
    (least..most).contains(&time)
}

async fn tcp(proxy: &TestProxy) -> TcpStream {
    TcpStream::connect(proxy.url.trim_start_matches("https://"))
        .await
        .unwrap()
}

#[tokio::test]
async fn silence_ends_a_connection_before_the_handshake_and_before_a_request() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let silent = tcp(&proxy).await;
    assert!(is_about(end_of(silent).await, 10));
    let mut half = tcp(&proxy).await;
    half.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    assert!(is_about(end_of(half).await, 10));
    let shaken = connect(&proxy).await;
    assert!(is_about(end_of(shaken).await, 32));
    let mut half = connect(&proxy).await;
    half.write_all(b"GET /api HTTP/1.1\r\nHost: ")
        .await
        .unwrap();
    assert!(is_about(end_of(half).await, 32));
    assert!(upstream.heads().is_empty());
    proxy.stop().await;
}

#[tokio::test]
async fn an_unused_connection_ends_after_two_minutes_and_a_slow_body_does_not() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let mut used = connect(&proxy).await;
    used.write_all(b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n")
        .await
        .unwrap();
    read_head(&mut used).await.unwrap();
    assert!(is_about(end_of(used).await, 120));
    let quiet = connect_with(&proxy.url, &proxy.authority, &["h2"]).await;
    let took = end_of(quiet).await;
    assert!(is_about(took, 130), "{took:?}");
    let mut slow = connect(&proxy).await;
    slow.write_all(b"POST /api HTTP/1.1\r\nHost: p\r\nContent-Length: 3\r\n\r\na")
        .await
        .unwrap();
    wait::until("the head at the API server", async || {
        let mut recorded = upstream.recorded().into_iter();
        recorded.any(|bytes| bytes.contains("POST /api"))
    })
    .await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(300)).await;
    tokio::time::resume();
    slow.write_all(b"bc").await.unwrap();
    let (head, _) = timeout(LONGEST, read_head(&mut slow))
        .await
        .unwrap()
        .unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    proxy.stop().await;
}

#[tokio::test]
async fn plain_http_is_told_where_it_is() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let mut plain = tcp(&proxy).await;
    plain
        .write_all(b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    timeout(LONGEST, plain.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.0 400 "), "{answer}");
    assert_line(&answer, "Client sent an HTTP request to an HTTPS server.");
    assert!(upstream.recorded().is_empty());
    proxy.stop().await;
}

/// Names that clients ask for, protocols that they offer.
#[tokio::test]
async fn a_client_may_ask_for_any_name_and_agrees_on_a_protocol_or_gets_none() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let long = format!("{}.test", vec!["a".repeat(60); 4].join("."));
    for name in ["127.0.0.1", "unknown.test", "with_underscore.test", &long] {
        let tls = client_tls(&proxy.authority, &[]);
        let connector = TlsConnector::from(Arc::new(tls));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let is_own = matches!(name, ServerName::IpAddress(_));
        let shaken = connector.connect(name, tcp(&proxy).await).await;
        // The certificate has one name; that the server gave it is what counts.
        let error = shaken.err().map(|error| error.to_string());
        assert!(is_own == error.is_none(), "{error:?}");
        assert!(error.is_none_or(|error| error.contains("not valid for name")));
    }
    for (alpn, agreed) in [
        (&["h2"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&[], None),
    ] {
        let stream = connect_with(&proxy.url, &proxy.authority, alpn).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
    }
    let tls = client_tls(&proxy.authority, &["h3"]);
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = TlsConnector::from(Arc::new(tls));
    assert!(connector.connect(name, tcp(&proxy).await).await.is_err());
    proxy.stop().await;
}

/// A ClientHello of TLS 1.1, and bytes that are none at all.
#[tokio::test]
async fn old_tls_and_noise_are_refused() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let mut hello = vec![0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0, 0x2f, 0, 0x35, 1, 0]);
    for bytes in [
        hello,
        vec![0x80, 0x2e, 1, 3, 0],
        vec![0; 64],
        vec![0xff; 20_000],
    ] {
        let mut client = tcp(&proxy).await;
        let _ = client.write_all(&bytes).await;
        let mut answer = Vec::new();
        let _ = timeout(LONGEST, client.read_to_end(&mut answer))
            .await
            .expect("it ends");
        assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    }
    assert!(upstream.recorded().is_empty());
    proxy.stop().await;
}

/// As many as may shake hands at once say nothing; the next one is served.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_nobody_out() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let mut silent = Vec::new();
    for _ in 0..1_100 {
        silent.push(tcp(&proxy).await);
    }
    let (head, _) = exchange(&proxy, b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop(silent);
    proxy.stop().await;
}

/// More handshakes that do not go on than there are places: who comes takes one of theirs, and
/// nobody looks after them again and again.
#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_do_not_go_on_give_their_places_up_and_cost_no_time() {
    let upstream = Upstream::serving().await;
    for arguments in [&[][..], &["--sni-passthrough=api.test"]] {
        let process =
            TracedProxy::start_with_arguments(&upstream.url, &upstream.ca_pem, arguments).await;
        let address = process.url.trim_start_matches("https://");
        let mut halves = Vec::new();
        for number in 0..1_100 {
            let mut half = TcpStream::connect(address).await.unwrap();
            // One byte, or the beginning of a ClientHello.
            let bytes = &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..];
            let bytes = if number % 2 == 0 { bytes } else { &bytes[..1] };
            half.write_all(bytes).await.unwrap();
            halves.push(half);
        }
        // Less than half of the time after which they end by themselves.
        let served = timeout(Duration::from_secs(5), async {
            let mut client = connect_with(&process.url, &process.authority, &[]).await;
            client
                .write_all(b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n")
                .await
                .unwrap();
            read_head(&mut client).await.unwrap().0
        });
        let head = served.await.expect("a newcomer waits for nobody");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let ticks = process.cpu_ticks();
        // What it does in this time is what is measured.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let busy = process.cpu_ticks() - ticks;
        eprintln!("{arguments:?}: {busy} hundredths of a second in two seconds");
        assert!(busy < 30, "{arguments:?}: {busy} hundredths of a second");
        drop(halves);
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_those_within_live_on() {
    let upstream = Upstream::serving().await;
    let options = Options {
        connections_max: 3,
        ..Options::default()
    };
    let proxy = upstream.proxy_with(options).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(connect(&proxy).await);
    }
    let mut one_more = tcp(&proxy).await;
    let mut rest = Vec::new();
    let _ = timeout(LONGEST, one_more.read_to_end(&mut rest))
        .await
        .expect("it is closed");
    for stream in &mut held {
        stream
            .write_all(b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n")
            .await
            .unwrap();
        assert!(
            read_head(stream)
                .await
                .unwrap()
                .0
                .starts_with("HTTP/1.1 200")
        );
    }
    drop(held);
    wait::until("a place for a newcomer", async || {
        let tls = Arc::new(client_tls(&proxy.authority, &[]));
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connected = TlsConnector::from(tls).connect(name, tcp(&proxy).await);
        connected.await.is_ok()
    })
    .await;
    let (head, _) = exchange(&proxy, b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    proxy.stop().await;
}

/// With 96 descriptors: connections are fewer than configured, the admin port answers, nothing
/// spins, and afterwards all is as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_descriptors_survives() {
    let upstream = Upstream::serving().await;
    let process = TracedProxy::start_limited(&upstream.url, &upstream.ca_pem, Some(96)).await;
    let at_start = process.descriptors();
    let address = process.url.trim_start_matches("https://");
    let mut flood = Vec::new();
    for _ in 0..super::scaled(200) {
        flood.extend(TcpStream::connect(address).await);
    }
    process.idle().await;
    assert!(process.descriptors() < 96, "{}", process.descriptors());
    let page = process
        .admin_page("GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let ticks = process.cpu_ticks();
    // What it does in this time is what is measured.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let busy = process.cpu_ticks() - ticks;
    assert!(busy < 50, "{busy} hundredths of a second");
    drop(flood);
    process.idle().await;
    let mut client = Client::connect_to(&process.url, &process.authority, &[]).await;
    client.send(&Frame::head(1, true, &get("/api"))).await;
    assert_eq!(client.status(1).await, 200);
    drop(client);
    wait::until("as few descriptors as at the start", async || {
        process.descriptors() <= at_start + 4
    })
    .await;
    assert_line(
        &process.log(),
        "{\"timestamp\":\"…\",\"level\":\"WARN\",\"fields\":{\"message\":\"fewer connections than \
         configured\",\"descriptors\":96,\"connections\":16},\"target\":\"proxy::command\"}",
    );
}
