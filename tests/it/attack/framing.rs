//! Framing of HTTP/1.1, and of HTTP/2 where it becomes HTTP/1.1: a request has one beginning and
//! one end, whoever reads it.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::support::{
    http2::{self, Client, Frame, HEADERS, RST_STREAM},
    recorder::Recorder,
    wire::{LONGEST, Upstream, books, connect, counted, exchange, last_words, read_head},
};

/// What follows a request that is refused: nobody may see it.
const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: p\r\n\r\n";

/// Each request gets this status, its connection ends, and nothing reaches the API server.
async fn refused(status: &str, requests: &[&[u8]]) {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    for request in requests {
        let shown = String::from_utf8_lossy(request);
        let answer = last_words(&proxy, &[request, NEXT.as_bytes()].concat()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shown}: {answer}");
    }
    let recorded = upstream.recorded().concat();
    assert!(recorded.is_empty(), "{recorded}");
    proxy.stop().await;
}

#[tokio::test]
async fn two_lengths_are_refused_in_either_order() {
    let target = "POST /api/v1/namespaces/d/configmaps HTTP/1.1\r\nHost: p\r\n";
    let body = "0\r\n\r\nG";
    let (length, chunked) = ("Content-Length: 6\r\n", "Transfer-Encoding: chunked\r\n");
    let lines = [
        [length, chunked].concat(),
        [chunked, length].concat(),
        [chunked, "X: y\r\ncontent-length:6\r\n"].concat(),
        [length, chunked, length].concat(),
    ];
    let requests = lines.map(|lines| format!("{target}{lines}\r\n{body}"));
    refused(
        "400",
        &requests.each_ref().map(|request| request.as_bytes()),
    )
    .await;
}

#[tokio::test]
async fn two_lengths_are_found_behind_other_requests_of_the_connection() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let requests = "POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 40\r\n\r\nContent-Length: 1\nTransfer-Encoding: x\n\n.\
                    POST /b HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na\r\n\r\n\r\n0\r\n\r\n\
                    POST /c HTTP/1.1\r\nHost: p\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = last_words(&proxy, requests.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 400").count(), 1, "{answer}");
    assert_eq!(upstream.heads().len(), 2);
    proxy.stop().await;
}

#[tokio::test]
async fn the_only_transfer_encoding_is_chunked() {
    let lines = [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding:",
        "Transfer-Encoding:\r\n chunked",
        "Transfer\x00-Encoding: chunked",
    ];
    let mut requests = lines
        .map(|line| format!("POST /api HTTP/1.1\r\nHost: p\r\n{line}\r\n\r\n0\r\n\r\n"))
        .to_vec();
    requests.push("POST /api HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned());
    let requests: Vec<_> = requests.iter().map(String::as_bytes).collect();
    refused("400", &requests).await;
}

#[tokio::test]
async fn a_length_is_digits_and_given_once_or_equally() {
    let lines = [
        "Content-Length: +6",
        "Content-Length: 6,6",
        "Content-Length: 6, 6",
        "Content-Length: 6\r\nContent-Length: 7",
        "Content-Length: 0x6",
        "Content-Length: -0",
        "Content-Length: 18446744073709551616",
        "Content-Length: 6 6",
        "Content-Length: ",
        "Content-Length: \x0b6",
        "Content-Length : 6",
    ];
    let requests =
        lines.map(|line| format!("POST /api HTTP/1.1\r\nHost: p\r\n{line}\r\n\r\nabcdef"));
    refused(
        "400",
        &requests.each_ref().map(|request| request.as_bytes()),
    )
    .await;

    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    for lines in [
        "Content-Length: 6\r\nContent-Length: 6",
        "Content-Length:006\t ",
    ] {
        let request = format!("POST /api HTTP/1.1\r\nHost: p\r\n{lines}\r\n\r\nabcdef");
        let (head, _) = exchange(&proxy, request.as_bytes()).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{lines}: {head}");
        let arrived = upstream.recorded().concat().to_lowercase();
        let arrived = arrived.rsplit("post ").next().unwrap();
        assert_eq!(arrived.matches("content-length").count(), 1, "{arrived}");
        assert!(arrived.ends_with("\r\n\r\nabcdef"), "{arrived}");
    }
    proxy.stop().await;
}

/// A body that can't be read ends the connection; what arrived is an unfinished request.
#[tokio::test]
async fn a_chunk_that_cannot_be_read_ends_the_request_on_both_sides() {
    let long = format!("5;ext={}\r\nhello\r\n0\r\n\r\n", "x".repeat(64 << 10));
    for chunks in [
        "ffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        &long,
    ] {
        let upstream = Upstream::serving().await;
        let proxy = upstream.proxy().await;
        let request =
            format!("POST /api HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let answer = last_words(&proxy, &[request.as_bytes(), NEXT.as_bytes()].concat()).await;
        assert!(!answer.contains(" 200 "), "{chunks:.40}: {answer}");
        let recorded = upstream.recorded().concat();
        assert!(!recorded.contains("smuggled"), "{chunks:.40}: {recorded}");
        assert!(!recorded.contains("0\r\n\r\n"), "{chunks:.40}: {recorded}");
        proxy.stop().await;
    }
}

#[tokio::test]
async fn extensions_and_trailers_of_a_chunked_body_cannot_change_its_framing() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let request = "POST /api HTTP/1.1\r\nHost: p\r\nTrailer: X-Sum, Host, Authorization\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5;a=\"b\"\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 5\r\nHost: evil\r\nAuthorization: Bearer evil\r\nTransfer-Encoding: x\r\n\r\n";
    let (head, _) = exchange(&proxy, request.as_bytes()).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let recorded = upstream.recorded().concat();
    let (_, body) = recorded.split_once("\r\n\r\n").unwrap();
    assert!(body.starts_with("5\r\nhello\r\n0\r\n"), "{body}");
    assert!(
        !body.contains("evil") && !body.to_lowercase().contains("content-length"),
        "{body}"
    );
    proxy.stop().await;
}

#[tokio::test]
async fn a_head_that_two_readers_could_read_differently_is_refused() {
    let requests = [
        &b"GET /api HTTP/1.1\nHost: p\r\n\r\n"[..],
        b"GET /api HTTP/1.1\r\nHost: p\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: p\r\nX: y\n\n",
        b"GET /api HTTP/1.1\r\nHost: p\r\nX: a\rb\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: p\r\nX: a\r\n folded\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: p\r\n X: a\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: p\r\nX : a\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: p\r\nX: a\x00b\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: p\r\n: a\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: p\r\nnocolon\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: a,b\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET /api HTTP/1.1\r\n\r\n",
        b"GET /api\r\nHost: p\r\n\r\n",
        b"GET  /api HTTP/1.1\r\nHost: p\r\n\r\n",
        b"GET /api HTTP/1.1 \r\nHost: p\r\n\r\n",
        b"GET /api HTTP/1.2\r\nHost: p\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: p\r\n\r\n",
        b"GET /api\x01 HTTP/1.1\r\nHost: p\r\n\r\n",
        b"G\x7fT /api HTTP/1.1\r\nHost: p\r\n\r\n",
    ];
    refused("400", &requests).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_counted_each() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let requests = "GET /api/v1/pods HTTP/1.1\r\nHost: p\r\n\r\n\
                    GET /api/v1/nodes HTTP/1.1\r\nHost: p\r\nContent-Length: 3\r\n\r\nabc\
                    DELETE /api/v1/namespaces/x HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n\
                    GET /api/v1/secrets HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n";
    let answer = last_words(&proxy, requests.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 4, "{answer}");
    let targets: Vec<_> = upstream
        .heads()
        .iter()
        .map(|head| head.split(' ').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(
        targets,
        [
            "/api/v1/pods",
            "/api/v1/nodes",
            "/api/v1/namespaces/x",
            "/api/v1/secrets"
        ]
    );
    let rows = counted(&books(&proxy).await, |_| true);
    assert_eq!(rows.iter().map(|row| row.2).sum::<u64>(), 4, "{rows:?}");
    proxy.stop().await;
}

#[tokio::test]
async fn the_head_of_a_response_is_framed_for_head_and_get_alike() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let upstream = Upstream::answering(answer).await;
    let proxy = upstream.proxy().await;
    let requests = "HEAD /api/v1/pods HTTP/1.1\r\nHost: p\r\n\r\nHEAD /api/v1/pods HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n";
    let got = last_words(&proxy, requests.as_bytes()).await;
    assert_eq!(got.matches("HTTP/1.1 200").count(), 2, "{got}");
    assert_eq!(
        got.to_lowercase().matches("content-length: 2\r\n").count(),
        2,
        "{got}"
    );
    proxy.stop().await;
}

/// Over HTTP/2 to an API server that speaks only HTTP/1.1: nothing becomes a line of its own.
#[tokio::test]
async fn nothing_of_an_http2_request_becomes_a_second_request_of_http1() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let get = http2::get;
    let with = |name: &'static str, value: &'static str| {
        [get("/api").to_vec(), vec![(name, value)]].concat()
    };
    let path = |path: &'static str| get(path).to_vec();
    let replaced = |at: usize, name: &'static str, value: &'static str| {
        let mut headers = get("/api").to_vec();
        headers[at] = (name, value);
        headers
    };
    let bad = [
        with("x", "a\r\nSmuggled: 1"),
        with("x", "a\nSmuggled: 1"),
        with("x", "a\0b"),
        with("x: y\r\nsmuggled", "1"),
        with("x:y", "1"),
        with("X-Upper", "1"),
        with("x y", "1"),
        with("", "1"),
        with("transfer-encoding", "chunked"),
        with("connection", "x"),
        with("upgrade", "h2c"),
        with("keep-alive", "1"),
        with("proxy-connection", "1"),
        with("te", "gzip"),
        with(":path", "/second"),
        with(":method", "POST"),
        with(":status", "200"),
        with(":evil", "1"),
        path("/api HTTP/1.1\r\nHost: p\r\n\r\nGET /smuggled"),
        path("/a b"),
        path("/a\r\nSmuggled: 1"),
        path(""),
        replaced(0, ":method", "GET /smuggled HTTP/1.1\r\n"),
        replaced(0, ":method", ""),
        replaced(0, "x", "no method"),
        replaced(2, ":authority", "p\r\nSmuggled: 1"),
        [vec![("x", "first")], get("/api").to_vec()].concat(),
    ];
    for headers in bad {
        let mut client = Client::connect(&proxy, &[]).await;
        client.send(&Frame::head(1, true, &headers)).await;
        let answer = client
            .find(|frame| frame.stream == 1 || frame.kind == http2::GOAWAY)
            .await;
        let is_refusal = answer.kind != HEADERS || answer.status() == 400;
        assert!(is_refusal, "{headers:?}: {answer:?}");
    }
    assert!(upstream.heads().is_empty(), "{:?}", upstream.heads());
    proxy.stop().await;
}

#[tokio::test]
async fn an_http2_body_is_as_long_as_it_says() {
    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    for (length, data, is_last) in [
        ("3", "four", true),
        ("9", "four", true),
        ("3", "four", false),
    ] {
        let mut client = Client::connect(&proxy, &[]).await;
        let mut headers = http2::get("/api").to_vec();
        headers[0] = (":method", "POST");
        headers.push(("content-length", length));
        client.send(&Frame::head(1, false, &headers)).await;
        let flags = u8::from(is_last);
        client.send(&Frame::new(http2::DATA, flags, 1, data)).await;
        let reset = client
            .find(|frame| frame.kind == RST_STREAM && frame.stream == 1)
            .await;
        assert_ne!(reset.reason(), http2::REFUSED_STREAM);
    }
    let mut client = Client::connect(&proxy, &[]).await;
    let mut headers = http2::get("/api").to_vec();
    headers.extend([("content-length", "1"), ("content-length", "2")]);
    client.send(&Frame::head(1, false, &headers)).await;
    let reset = client.find(|frame| frame.stream == 1).await;
    assert_eq!(reset.kind, RST_STREAM);
    proxy.stop().await;
}

#[tokio::test]
async fn the_api_servers_name_is_the_proxys_business_alone() {
    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let mut client = Client::connect(&proxy, &[]).await;
    let mut headers = http2::get("/api").to_vec();
    headers[2] = (":authority", "evil:1");
    headers.push(("host", "evil:2"));
    client.send(&Frame::head(1, true, &headers)).await;
    assert_eq!(client.status(1).await, 200);
    assert!(!recorder.requests()[0].headers.contains_key("host"));
    proxy.stop().await;

    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    for (request, line) in [
        (
            "GET /api HTTP/1.1\r\nHost: evil\r\nOrigin: https://evil\r\n\r\n",
            "GET /api HTTP/1.1",
        ),
        (
            "GET http://169.254.169.254/latest HTTP/1.1\r\nHost: evil\r\n\r\n",
            "GET /latest HTTP/1.1",
        ),
        (
            "GET HTTPS://evil:1/latest?x HTTP/1.1\r\nHost: evil\r\n\r\n",
            "GET /latest?x HTTP/1.1",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: evil\r\n\r\n",
            "OPTIONS * HTTP/1.1",
        ),
        (
            "TRACE /api HTTP/1.1\r\nHost: evil\r\n\r\n",
            "TRACE /api HTTP/1.1",
        ),
    ] {
        let (head, _) = exchange(&proxy, request.as_bytes()).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{request}: {head}");
        assert!(!head.to_lowercase().contains("access-control"), "{head}");
        let arrived = upstream.heads().pop().unwrap();
        let host = format!("Host: {}\r\n", upstream.url.trim_start_matches("https://"));
        assert!(arrived.starts_with(&format!("{line}\r\n")), "{arrived}");
        assert!(
            arrived.contains(&host) && !arrived.contains("evil\r\nAccept"),
            "{arrived}"
        );
        assert_eq!(
            arrived.to_lowercase().matches("\r\nhost: ").count(),
            1,
            "{arrived}"
        );
    }
    let answer = last_words(
        &proxy,
        b"CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    proxy.stop().await;
}

#[tokio::test]
async fn confusing_targets_arrive_byte_by_byte_and_bad_escapes_not_at_all() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let targets = [
        "//api/v1/pods",
        "/api/v1/./pods",
        "/api/v1/namespaces/a/../b/pods",
        "/api/v1/pods/..;/secrets",
        "/api/v1/%2e%2e/pods",
        "/api%2fv1%2Fpods",
        "/api/v1/%252f",
        "/%61pi/v1/pods",
        "/api/v1/pods%00",
        "/api/v1/pods%0d%0aX:y",
        "/api/v1/%c0%af",
        "/api/v1/pods\\x",
        "/api/v1/pods;a=b",
        "/api/v1/pods/",
        "/api/v1/pods?",
        "/api/v1/pods??a",
        "/api/v1/pods?watch=false&watch=true",
        "/api/v1/pods?x=1;watch=true",
        "/api/v1/pods?watch=tr%ZZue",
        "/api/v1/pods?watch=0&%77atch=1",
    ];
    for target in targets {
        let request = format!("GET {target} HTTP/1.1\r\nHost: p\r\n\r\n");
        let (head, _) = exchange(&proxy, request.as_bytes()).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{target}: {head}");
        let arrived = upstream.heads().pop().unwrap();
        assert!(
            arrived.starts_with(&format!("GET {target} HTTP/1.1\r\n")),
            "{arrived}"
        );
    }
    let books = books(&proxy).await;
    assert!(counted(&books, |call| call.verb == "watch").is_empty());
    proxy.stop().await;
    refused(
        "400",
        &[
            b"GET /api/% HTTP/1.1\r\nHost: p\r\n\r\n",
            b"GET /api/%zz HTTP/1.1\r\nHost: p\r\n\r\n",
            b"GET /api/%1 HTTP/1.1\r\nHost: p\r\n\r\n",
            b"GET api HTTP/1.1\r\nHost: p\r\n\r\n",
        ],
    )
    .await;
}

/// 1.25 MiB of headers, or 1,001 lines.
#[tokio::test]
async fn a_head_has_a_largest_size_in_both_protocols() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let lines: String = (0..1_100)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    let huge = format!("X: {}\r\n", "y".repeat(1_300_000));
    for lines in [lines, huge] {
        let mut stream = connect(&proxy).await;
        let request = format!("GET /api HTTP/1.1\r\nHost: p\r\n{lines}\r\n");
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = timeout(LONGEST, read_head(&mut stream)).await.unwrap();
        assert!(
            answer
                .as_ref()
                .is_none_or(|(head, _)| head.starts_with("HTTP/1.1 431 ")),
            "{answer:?}"
        );
        let mut rest = Vec::new();
        let _ = timeout(LONGEST, stream.read_to_end(&mut rest))
            .await
            .expect("it closes");
    }
    let large = format!("X: {}\r\n", "y".repeat(900_000));
    let request = format!("GET /api HTTP/1.1\r\nHost: p\r\n{large}\r\n");
    let (head, _) = exchange(&proxy, request.as_bytes()).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let target = format!("/api?{}", "y".repeat(70_000));
    let request = format!("GET {target} HTTP/1.1\r\nHost: p\r\n\r\n");
    let answer = last_words(&proxy, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 414 "), "{answer}");
    assert_eq!(upstream.heads().len(), 1);
    proxy.stop().await;
}
