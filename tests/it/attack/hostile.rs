//! What stands behind the proxy misbehaves: the client hears an error, never a lie, and the proxy
//! stays as it was.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::server::TlsStream;

use crate::support::{
    http2::{
        self, Client, DATA, END_STREAM, Frame, GOAWAY, HEADERS, INTERNAL_ERROR, PING, Peer,
        REFUSED_STREAM, RST_STREAM, get, settings,
    },
    proxy::TestProxy,
    traced::TracedProxy,
    wire::{LONGEST, TlsListener, Upstream, connect, exchange},
};

type Server = Peer<TlsStream<TcpStream>>;

/// An HTTP/2 server that does with each connection what it is told.
struct Hostile {
    url: String,
    ca_pem: String,
    connections: Arc<AtomicUsize>,
}

impl Hostile {
    async fn start<F>(
        values: &'static [(u16, u32)],
        serve: impl Fn(Server, usize) -> F + Send + Sync + Clone + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let listener = TlsListener::bind(&["h2"]).await;
        let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        listener.serve(move |stream| {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let serve = serve.clone();
            async move {
                if let Some(server) = Peer::serve(stream, values).await {
                    serve(server, number).await;
                }
            }
        });
        Self {
            url,
            ca_pem,
            connections,
        }
    }

    async fn proxy(&self) -> TestProxy {
        TestProxy::start(&self.url, &self.ca_pem).await
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn ok(stream: u32, is_last: bool) -> Frame {
    Frame::head(stream, is_last, &[(":status", "200")])
}

/// The next request's stream, or `None` at the connection's end.
async fn request(server: &mut Server) -> Option<u32> {
    loop {
        let frame = server.next().await?;
        if frame.kind == HEADERS {
            return Some(frame.stream);
        }
    }
}

/// Sends one request over a connection of its own and gives what comes on its stream, up to its
/// end or the connection's.
async fn answer(proxy: &TestProxy, method: &str) -> Vec<Frame> {
    let mut client = Client::connect(proxy, &[]).await;
    let mut headers = get("/api/v1/pods").to_vec();
    headers[0] = (":method", method);
    client.send(&Frame::head(1, true, &headers)).await;
    let mut frames = Vec::new();
    let read = async {
        while let Some(frame) = client.next().await {
            let is_end = frame.kind == RST_STREAM
                || matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
            if frame.stream == 1 {
                frames.push(frame);
            }
            if is_end {
                return;
            }
        }
    };
    timeout(LONGEST, read).await.expect("the stream ends");
    frames
}

#[tokio::test]
async fn a_response_that_cannot_be_framed_is_an_error_and_its_connection_is_not_used_again() {
    for response in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2,2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2, 2\r\n\r\nab",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"<html>hello</html>",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : b\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"",
    ] {
        let upstream = Upstream::once(response).await;
        let proxy = upstream.proxy().await;
        let (head, _) = exchange(&proxy, b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n").await;
        let shown = String::from_utf8_lossy(response);
        assert!(head.starts_with("HTTP/1.1 502"), "{shown}: {head}");
        proxy.stop().await;
    }
}

/// Bytes behind a response must not become the answer to the next request.
#[tokio::test]
async fn what_follows_a_response_is_not_the_next_response() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let upstream = Upstream::answering(answer).await;
    let proxy = upstream.proxy().await;
    let mut stream = connect(&proxy).await;
    for _ in 0..3 {
        stream
            .write_all(b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n")
            .await
            .unwrap();
        let mut got = vec![0; 512];
        let count = timeout(LONGEST, stream.read(&mut got))
            .await
            .unwrap()
            .unwrap();
        let got = String::from_utf8_lossy(&got[..count]).into_owned();
        assert!(
            got.starts_with("HTTP/1.1 200") && !got.contains("evil"),
            "{got}"
        );
        // A pause, so that the proxy can come to what followed before the next request does.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(stream);
    proxy.stop().await;
}

#[tokio::test]
async fn a_body_that_is_cut_short_is_not_a_short_body() {
    for (response, good) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"[..], false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", true),
    ] {
        let upstream = Upstream::once(response).await;
        let proxy = upstream.proxy().await;
        let mut stream = connect(&proxy).await;
        stream.write_all(b"GET /api HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut got = Vec::new();
        let _ = timeout(LONGEST, stream.read_to_end(&mut got)).await.expect("it ends");
        let got = String::from_utf8_lossy(&got).into_owned();
        // A response that broke at once may have no head either.
        let Some((head, body)) = got.split_once("\r\n\r\n") else {
            assert!(got.is_empty() && !good, "{got}");
            continue;
        };
        let head = head.to_lowercase();
        let ends_well = if head.contains("chunked") {
            assert!(!head.contains("content-length"), "{got}");
            body.ends_with("0\r\n\r\n")
        } else {
            head.split("content-length: ").nth(1).is_none_or(|length| {
                length.split("\r\n").next().unwrap().parse::<usize>().unwrap() == body.len()
            })
        };
        assert_eq!(ends_well, good, "{got}");
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_response_head_has_a_largest_size() {
    let line = "x".repeat(2 << 20);
    let huge = format!("HTTP/1.1 200 OK\r\nX: {line}\r\nContent-Length: 0\r\n\r\n");
    let lines: String = (0..1_100)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    let many = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    for response in [huge, many] {
        let upstream = Upstream::once(response.leak().as_bytes()).await;
        let proxy = upstream.proxy().await;
        let (head, _) = exchange(&proxy, b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 502"), "{:.100}", head);
        proxy.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_responses_without_end_cost_no_memory() {
    let hints =
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(super::scaled(50_000).min(150_000));
    let answer = format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let upstream = Upstream::once(answer.leak().as_bytes()).await;
    let process = TracedProxy::start(&upstream.url, &upstream.ca_pem).await;
    let before = process.resident_kib();
    let mut stream =
        crate::support::wire::connect_with(&process.url, &process.authority, &[]).await;
    let request = b"GET /api HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut got = Vec::new();
    let _ = timeout(LONGEST, stream.read_to_end(&mut got))
        .await
        .expect("it ends");
    let got = String::from_utf8_lossy(&got);
    assert!(
        got.starts_with("HTTP/1.1 200") || got.starts_with("HTTP/1.1 502"),
        "{:.200}",
        got
    );
    let grown = process.grown_kib(before);
    assert!(grown < 32 << 10, "{grown} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_responses_of_http2_cost_no_memory() {
    let hostile = Hostile::start(&[], |mut server, _| async move {
        while let Some(stream) = request(&mut server).await {
            let hint = Frame::head(stream, false, &[(":status", "103"), ("link", "</x>")]);
            let many = hint.bytes().repeat(100);
            for _ in 0..super::scaled(500).min(3_000) {
                if !server.send_bytes(&many).await {
                    return;
                }
            }
            server.send(&ok(stream, true)).await;
        }
    })
    .await;
    let process = TracedProxy::start(&hostile.url, &hostile.ca_pem).await;
    let before = process.resident_kib();
    let mut client = Client::connect_to(&process.url, &process.authority, &[]).await;
    client.send(&Frame::head(1, true, &get("/api"))).await;
    let answer = client.find(|frame| frame.stream == 1).await;
    assert!(
        answer.kind == RST_STREAM || matches!(answer.status(), 200 | 502),
        "{answer:?}"
    );
    let grown = process.grown_kib(before);
    assert!(grown < 20 << 10, "{grown} KiB");
}

/// Only what was provably not looked at may be called so.
#[tokio::test]
async fn a_client_never_hears_that_a_request_was_not_processed_when_it_may_have_been() {
    // Behind the head of a response, and before it.
    for (after_head, method) in [(true, "GET"), (false, "POST"), (true, "POST")] {
        for reason in [0, REFUSED_STREAM, http2::CANCEL, 13] {
            let hostile = Hostile::start(&[], move |mut server, _| async move {
                while let Some(stream) = request(&mut server).await {
                    if after_head {
                        server.send(&ok(stream, false)).await;
                        server.send(&Frame::new(DATA, 0, stream, "half")).await;
                    }
                    server.send(&Frame::reset(stream, reason)).await;
                }
            })
            .await;
            let proxy = hostile.proxy().await;
            let frames = answer(&proxy, method).await;
            let last = frames.last().unwrap();
            let shown = (after_head, method, reason);
            if last.kind == HEADERS {
                // Said in words, where the server itself said that it did nothing.
                assert!(
                    !after_head && reason == REFUSED_STREAM,
                    "{shown:?}: {frames:?}"
                );
                assert_eq!(last.status(), 503, "{shown:?}");
            } else if last.kind == RST_STREAM {
                let misleading = [0, REFUSED_STREAM, 13];
                assert!(
                    !misleading.contains(&last.reason()),
                    "{shown:?}: {frames:?}"
                );
            } else {
                assert!(
                    last.flags & END_STREAM == 0 || !after_head,
                    "{shown:?}: {frames:?}"
                );
                assert_eq!(frames[0].status(), 503, "{shown:?}: {frames:?}");
            }
            proxy.stop().await;
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_in_a_body_is_an_error_of_the_stream() {
    let hostile = Hostile::start(&[], |mut server, _| async move {
        if let Some(stream) = request(&mut server).await {
            server.send(&ok(stream, false)).await;
            server.send(&Frame::new(DATA, 0, stream, "half")).await;
            let mut goaway = stream.to_be_bytes().to_vec();
            goaway.extend(0_u32.to_be_bytes());
            server.send(&Frame::new(GOAWAY, 0, 0, goaway)).await;
        }
    })
    .await;
    let proxy = hostile.proxy().await;
    let frames = answer(&proxy, "GET").await;
    let last = frames.last().unwrap();
    assert_eq!(
        (last.kind, last.reason()),
        (RST_STREAM, INTERNAL_ERROR),
        "{frames:?}"
    );
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_allows_one_stream_answers_all() {
    let hostile = Hostile::start(&[(3, 1)], |mut server, _| async move {
        while let Some(stream) = request(&mut server).await {
            server.send(&ok(stream, true)).await;
        }
    })
    .await;
    let proxy = hostile.proxy().await;
    let mut client = Client::connect(&proxy, &[]).await;
    for number in 0..20 {
        client
            .send(&Frame::head(2 * number + 1, true, &get("/api")))
            .await;
    }
    let mut answered = 0;
    while answered < 20 {
        let frame = client.find(|frame| frame.kind == HEADERS).await;
        assert_eq!(frame.status(), 200);
        answered += 1;
    }
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goaway_after_each_request_loses_and_doubles_none() {
    let served = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&served);
    let hostile = Hostile::start(&[], move |mut server, _| {
        let counter = Arc::clone(&counter);
        async move {
            if let Some(stream) = request(&mut server).await {
                counter.fetch_add(1, Ordering::SeqCst);
                let mut goaway = stream.to_be_bytes().to_vec();
                goaway.extend(0_u32.to_be_bytes());
                let mut bytes = Frame::new(GOAWAY, 0, 0, goaway).bytes();
                bytes.extend(ok(stream, true).bytes());
                server.send_bytes(&bytes).await;
                while server.next().await.is_some() {}
            }
        }
    })
    .await;
    let proxy = hostile.proxy().await;
    let mut client = Client::connect(&proxy, &[]).await;
    let count = super::scaled(50);
    let (started, mut answered) = (Instant::now(), 0);
    let mut post = get("/api/v1/namespaces/n/pods").to_vec();
    post[0] = (":method", "POST");
    // Without a credential, the end of the connection would be passed on.
    post.push(("authorization", "Bearer t"));
    for stream in (0..u32::try_from(count).unwrap()).map(|number| 2 * number + 1) {
        client.send(&Frame::head(stream, false, &post)).await;
        client
            .send(&Frame::new(DATA, END_STREAM, stream, "{}"))
            .await;
        match client.status(stream).await {
            200 => answered += 1,
            // It met three connections that were on their way out.
            status => assert_eq!(status, 503),
        }
    }
    assert_eq!(served.load(Ordering::SeqCst), answered);
    assert!(answered > count / 2, "{answered}");
    let connections = hostile.connections();
    assert!(
        connections <= 3 * count,
        "{connections} in {:?}",
        started.elapsed()
    );
    proxy.stop().await;
}

/// One request never becomes more than three.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_always_refused_is_tried_three_times() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let hostile = Hostile::start(&[], move |mut server, _| {
        let counter = Arc::clone(&counter);
        async move {
            while let Some(stream) = request(&mut server).await {
                counter.fetch_add(1, Ordering::SeqCst);
                server.send(&Frame::reset(stream, REFUSED_STREAM)).await;
            }
        }
    })
    .await;
    let proxy = hostile.proxy().await;
    let frames = answer(&proxy, "GET").await;
    assert_eq!(frames[0].status(), 503, "{frames:?}");
    let seen = seen.load(Ordering::SeqCst);
    assert!((1..=3).contains(&seen), "{seen}");
    proxy.stop().await;
}

/// Each flood comes on one client's connection to the API server; another client notices nothing.
#[tokio::test(flavor = "multi_thread")]
async fn floods_from_behind_cost_no_memory_and_only_their_own_session() {
    type Flood = fn(u32) -> Frame;
    let floods: [(&str, Flood); 5] = [
        ("ping", |_| Frame::new(PING, 0, 0, *b"12345678")),
        ("settings", |_| settings(&[(4, 65_535)])),
        ("tiny data", |stream| Frame::new(DATA, 0, stream, "x")),
        ("empty data", |stream| Frame::new(DATA, 0, stream, [])),
        ("pushed", |stream| {
            let block = http2::head_block(&get("/evil"));
            let payload = [&2_u32.to_be_bytes()[..], &block].concat();
            Frame::new(5, 4, stream, payload)
        }),
    ];
    for (name, frame) in floods {
        let hostile = Hostile::start(&[], move |mut server, number| async move {
            while let Some(stream) = request(&mut server).await {
                if number > 0 {
                    server.send(&ok(stream, true)).await;
                    continue;
                }
                server.send(&ok(stream, false)).await;
                let many = frame(stream).bytes().repeat(100);
                for _ in 0..super::scaled(200) {
                    let sent = timeout(Duration::from_millis(200), server.send_bytes(&many));
                    if sent.await != Ok(true) {
                        break;
                    }
                }
            }
        })
        .await;
        let process = TracedProxy::start(&hostile.url, &hostile.ca_pem).await;
        let before = process.resident_kib();
        // It opens a watch and reads nothing of it.
        let windows: &[(u16, u32)] = &[(4, 0)];
        let mut victim = Client::connect_to(&process.url, &process.authority, windows).await;
        victim
            .send(&Frame::head(1, true, &get("/api/v1/pods?watch=1")))
            .await;
        // Its head, or its reset where the flood was faster.
        victim
            .find(|frame| frame.stream == 1 || frame.kind == GOAWAY)
            .await;
        process.idle().await;
        let mut other = Client::connect_to(&process.url, &process.authority, &[]).await;
        other.send(&Frame::head(1, true, &get("/api"))).await;
        assert_eq!(other.status(1).await, 200, "{name}");
        let grown = process.grown_kib(before);
        assert!(grown < 32 << 10, "{name}: {grown} KiB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_head_that_unpacks_to_megabytes_is_refused() {
    let hostile = Hostile::start(&[], |mut server, _| async move {
        while let Some(stream) = request(&mut server).await {
            let mut block = http2::head_block(&[(":status", "200")]);
            let mut entry = http2::head_block(&[("x", &"y".repeat(4_000))]);
            entry[0] = 0x40;
            block.extend(entry);
            block.extend(vec![0xbe; 16_000 - block.len()]);
            server.send(&Frame::new(HEADERS, 5, stream, block)).await;
        }
    })
    .await;
    let process = TracedProxy::start(&hostile.url, &hostile.ca_pem).await;
    let before = process.resident_kib();
    let mut client = Client::connect_to(&process.url, &process.authority, &[]).await;
    client.send(&Frame::head(1, true, &get("/api"))).await;
    let answer = client.find(|frame| frame.stream == 1).await;
    assert!(
        answer.kind == RST_STREAM || answer.status() == 502,
        "{answer:?}"
    );
    let grown = process.grown_kib(before);
    assert!(grown < 32 << 10, "{grown} KiB");
}
