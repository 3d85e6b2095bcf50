//! What clients cost that have proved no credential: their heads share a budget, their connections
//! end as the API server would end them, and others notice nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use crate::support::{
    http2::{
        self, CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, Peer,
        get,
    },
    proxy::TestProxy,
    recorder::Recorder,
    traced::TracedProxy,
    wire::{LONGEST, TlsListener, connect_with, read_head},
};

/// Longest payload of a frame.
const FRAME: usize = 16 << 10;
const REFUSAL: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";

/// What an API server does with requests.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// It refuses them, and over HTTP/2 it ends the connection after one, as kube-apiserver does.
    Refuses,
    /// It refuses them and keeps its connections.
    Stays,
    /// It takes them all, and ends connections so unless the request has a credential.
    Believes,
}

/// An API server.
struct Server {
    url: String,
    ca_pem: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(mode: Mode) -> Self {
        let listener = TlsListener::bind(&["h2", "http/1.1"]).await;
        let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        listener.serve(move |stream| {
            counter.fetch_add(1, Ordering::SeqCst);
            async move {
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    refuse_http2(stream, mode).await;
                } else {
                    refuse_http1(stream).await;
                }
            }
        });
        Self {
            url,
            ca_pem,
            connections,
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn refuse_http1(mut stream: TlsStream<TcpStream>) {
    let mut buffer = vec![0; 64 << 10];
    let mut end = Vec::new();
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        end.extend_from_slice(&buffer[..count]);
        end.drain(..end.len().saturating_sub(4));
        if end == b"\r\n\r\n" && stream.write_all(REFUSAL).await.is_err() {
            return;
        }
    }
}

async fn refuse_http2(stream: TlsStream<TcpStream>, mode: Mode) {
    let Some(mut server) = Peer::serve(stream, &[]).await else {
        return;
    };
    let mut ends = false;
    while let Some(frame) = server.next().await {
        if frame.kind == HEADERS {
            let has_credential = frame.payload.len() > 400;
            ends = mode == Mode::Refuses || (mode == Mode::Believes && !has_credential);
        }
        let ends_head = matches!(frame.kind, HEADERS | CONTINUATION);
        if !ends_head || frame.flags & END_HEADERS == 0 {
            continue;
        }
        let is_refused = mode != Mode::Believes;
        let status = if is_refused { "401" } else { "200" };
        let mut bytes = Frame::head(frame.stream, false, &[(":status", status)]).bytes();
        bytes.extend(Frame::new(DATA, END_STREAM, frame.stream, "answer").bytes());
        if ends {
            let mut goaway = frame.stream.to_be_bytes().to_vec();
            goaway.extend(0_u32.to_be_bytes());
            bytes.extend(Frame::new(GOAWAY, 0, 0, goaway).bytes());
        }
        server.send_bytes(&bytes).await;
        if ends {
            while server.next().await.is_some() {}
            return;
        }
    }
}

/// A head in as many frames as it takes, with its end or without.
fn head(stream: u32, headers: &[(&str, &str)], ends: bool) -> Vec<u8> {
    let block = http2::head_block(headers);
    let pieces = block.chunks(FRAME);
    let last = pieces.len() - 1;
    let mut bytes = Vec::new();
    for (number, piece) in pieces.enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let mut flags = if number == 0 { END_STREAM } else { 0 };
        if ends && number == last {
            flags |= END_HEADERS;
        }
        bytes.extend(Frame::new(kind, flags, stream, piece).bytes());
    }
    bytes
}

/// The largest resident memory of the proxy while `attack` lasts, in KiB more than `before`.
async fn peak<T>(process: &TracedProxy, before: u64, attack: impl Future<Output = T>) -> (T, u64) {
    let done = AtomicBool::new(false);
    let watch = async {
        let mut most = 0;
        while !done.load(Ordering::Relaxed) {
            most = most.max(process.resident_kib().saturating_sub(before));
            // The pace of the samples.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        most
    };
    let attack = async {
        let result = attack.await;
        done.store(true, Ordering::Relaxed);
        result
    };
    let (result, most) = tokio::join!(attack, watch);
    eprintln!("at most {most} KiB more");
    (result, most)
}

/// A request of a client with a short token, over a connection of its own.
async fn is_answered(process: &TracedProxy, status: &str) {
    let mut stream = connect_with(&process.url, &process.authority, &[]).await;
    let token = "t".repeat(1_200);
    let request = format!("GET /api HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = timeout(LONGEST, read_head(&mut stream)).await.unwrap();
    let (head, _) = answer.unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
}

/// Sends it, if it is taken, and reads until the proxy ends the connection.
async fn send_to_the_end(
    mut stream: tokio_rustls::client::TlsStream<TcpStream>,
    request: Arc<String>,
) -> Vec<u8> {
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(6 * LONGEST, stream.read_to_end(&mut answer))
        .await
        .expect("the connection ends");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn large_credentials_that_prove_nothing_leave_nothing_over_http1() {
    let server = Server::start(Mode::Refuses).await;
    let process = TracedProxy::start(&server.url, &server.ca_pem).await;
    is_answered(&process, "401").await;
    let before = process.resident_kib();
    let token = "t".repeat(1_000_000);
    let request = format!("GET /api HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {token}\r\n\r\n");
    let request = Arc::new(request);
    let attack = async {
        let mut clients = JoinSet::new();
        for _ in 0..200 {
            let stream = connect_with(&process.url, &process.authority, &[]).await;
            clients.spawn(send_to_the_end(stream, Arc::clone(&request)));
        }
        clients.join_all().await
    };
    let (answers, most) = peak(&process, before, attack).await;
    let refused = answers.iter().filter(|answer| {
        answer.starts_with(b"HTTP/1.1 401") && answer.windows(17).any(|w| w == b"connection: close")
    });
    assert!(refused.count() > 0);
    is_answered(&process, "401").await;
    let grown = process.grown_kib(before);
    assert!(grown < 64 << 10, "{grown} KiB");
    assert!(most < 128 << 10, "{most} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_credentials_that_prove_nothing_leave_nothing_over_http2() {
    let server = Server::start(Mode::Refuses).await;
    let process = TracedProxy::start(&server.url, &server.ca_pem).await;
    is_answered(&process, "401").await;
    let before = process.resident_kib();
    let token = format!("Bearer {}", "t".repeat(1_000_000));
    let mut headers = get("/api").to_vec();
    headers.push(("authorization", &token));
    let request = Arc::new(head(1, &headers, true));
    let attack = async {
        let mut clients = JoinSet::new();
        for _ in 0..200 {
            let mut client = Client::connect_to(&process.url, &process.authority, &[]).await;
            let request = Arc::clone(&request);
            clients.spawn(async move {
                client.send_bytes(&request).await;
                client.end().await
            });
        }
        clients.join_all().await
    };
    let (_, most) = peak(&process, before, attack).await;
    is_answered(&process, "401").await;
    let grown = process.grown_kib(before);
    assert!(grown < 64 << 10, "{grown} KiB");
    assert!(most < 128 << 10, "{most} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_without_an_end_share_a_budget() {
    let server = Server::start(Mode::Refuses).await;
    let text = "t".repeat(900_000);
    let http1 = format!("GET /api HTTP/1.1\r\nHost: p\r\nX: {text}").into_bytes();
    let mut headers = get("/api").to_vec();
    headers.push(("x", &text));
    let http2 = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        http2::settings(&[]).bytes(),
        head(1, &headers, false),
    ]
    .concat();
    // References to one entry of the table, which become a line each.
    let mut block = http2::head_block(&get("/api"));
    block.extend([0x40, 1, b'x', 1, b'y']);
    block.extend(vec![0xbe; 16_000]);
    let unpacks = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        http2::settings(&[]).bytes(),
        Frame::new(HEADERS, END_STREAM, 1, block).bytes(),
    ]
    .concat();
    for (alpn, bytes) in [(&[][..], http1), (&["h2"], http2), (&["h2"], unpacks)] {
        let process = TracedProxy::start(&server.url, &server.ca_pem).await;
        is_answered(&process, "401").await;
        let before = process.resident_kib();
        let bytes = Arc::new(bytes);
        let attack = async {
            let mut clients = JoinSet::new();
            for _ in 0..500 {
                let mut stream = connect_with(&process.url, &process.authority, alpn).await;
                let bytes = Arc::clone(&bytes);
                clients.spawn(async move {
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.flush().await;
                    stream
                });
            }
            clients.join_all().await
        };
        let (held, most) = peak(&process, before, attack).await;
        is_answered(&process, "401").await;
        let grown = process.grown_kib(before);
        assert!(grown < 96 << 10, "{alpn:?}: {grown} KiB");
        assert!(most < 128 << 10, "{alpn:?}: {most} KiB");
        drop(held);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_targets_whose_answers_nobody_takes_share_a_budget() {
    let recorder = Recorder::start(1_000).await;
    let process = TracedProxy::start(&recorder.url, &recorder.ca_pem).await;
    let before = process.resident_kib();
    let target = format!("/api?x={}", "y".repeat(60_000));
    let attack = async {
        let mut clients = JoinSet::new();
        for _ in 0..20 {
            let mut client = Client::connect_to(&process.url, &process.authority, &[(4, 0)]).await;
            let target = target.clone();
            clients.spawn(async move {
                for stream in (1..200).step_by(2) {
                    if !client.send_bytes(&head(stream, &get(&target), true)).await {
                        break;
                    }
                }
                client.frames_within(Duration::from_secs(2)).await;
                client
            });
        }
        clients.join_all().await
    };
    let (held, most) = peak(&process, before, attack).await;
    let grown = process.grown_kib(before);
    assert!(grown < 64 << 10, "{grown} KiB");
    assert!(most < 128 << 10, "{most} KiB");
    drop(held);
}

/// One frame of references to one line of HPACK's table, which become a line each.
fn references(stream: u32, mut block: Vec<u8>) -> Vec<u8> {
    block.resize(FRAME, 0x95);
    Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, block).bytes()
}

/// A client that takes no answers, with a hundred requests whose bodies have not ended: their
/// streams stay, though they are answered.
async fn open_streams(process: &TracedProxy) -> Client {
    let mut client = Client::connect_to(&process.url, &process.authority, &[(4, 0)]).await;
    let mut post = get("/api");
    post[0].1 = "POST";
    let heads = (1..200).step_by(2).map(|n| Frame::head(n, false, &post));
    let heads: Vec<u8> = heads.flat_map(|head| head.bytes()).collect();
    client.send_bytes(&heads).await;
    for _ in 0..100 {
        client.find(|frame| frame.kind == HEADERS).await;
    }
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_that_nobody_reads_share_a_budget() {
    let server = Server::start(Mode::Stays).await;
    let process = TracedProxy::start(&server.url, &server.ca_pem).await;
    is_answered(&process, "401").await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(open_streams(&process).await);
    }
    let before = process.resident_kib();
    let trailers = (1..200).step_by(2).map(|n| references(n, Vec::new()));
    let trailers: Arc<Vec<u8>> = Arc::new(trailers.flatten().collect());
    let attack = async {
        let mut attacks = JoinSet::new();
        for mut client in clients {
            let trailers = Arc::clone(&trailers);
            attacks.spawn(async move {
                client.send_bytes(&trailers).await;
                let end = async { while client.next().await.is_some() {} };
                timeout(LONGEST, end).await.is_ok()
            });
        }
        attacks.join_all().await
    };
    let (ends, most) = peak(&process, before, attack).await;
    is_answered(&process, "401").await;
    let grown = process.grown_kib(before);
    assert!(grown < 64 << 10, "{grown} KiB");
    assert!(most < 64 << 10, "{most} KiB");
    assert_eq!(ends, [true; 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_unpack_to_many_lines_are_taken_up_one_by_one() {
    let server = Server::start(Mode::Refuses).await;
    let process = TracedProxy::start(&server.url, &server.ca_pem).await;
    is_answered(&process, "401").await;
    let before = process.resident_kib();
    let head = http2::head_block(&get("/api"));
    let heads = (1..200).step_by(2).map(|n| references(n, head.clone()));
    let heads: Arc<Vec<u8>> = Arc::new(heads.flatten().collect());
    let attack = async {
        let mut attacks = JoinSet::new();
        for _ in 0..40 {
            let mut client = Client::connect_to(&process.url, &process.authority, &[(4, 0)]).await;
            let heads = Arc::clone(&heads);
            attacks.spawn(async move {
                client.send_bytes(&heads).await;
                client.frames_within(Duration::from_secs(2)).await;
                client
            });
        }
        attacks.join_all().await
    };
    let (held, most) = peak(&process, before, attack).await;
    is_answered(&process, "401").await;
    let grown = process.grown_kib(before);
    assert!(grown < 64 << 10, "{grown} KiB");
    assert!(most < 128 << 10, "{most} KiB");
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_unknown_clients_connection_is_passed_on() {
    for mode in [Mode::Refuses, Mode::Believes] {
        let server = Server::start(mode).await;
        let proxy = TestProxy::start(&server.url, &server.ca_pem).await;
        let mut client = Client::connect(&proxy, &[]).await;
        client.send(&Frame::head(1, true, &get("/api"))).await;
        let (mut status, mut reason) = (None, None);
        while let Some(frame) = timeout(LONGEST, client.next()).await.expect("it ends") {
            match frame.kind {
                HEADERS => status = Some(frame.status()),
                GOAWAY => reason = Some(frame.reason()),
                _ => {}
            }
        }
        let expected = if mode == Mode::Refuses { 401 } else { 200 };
        assert_eq!((status, reason), (Some(expected), Some(0)));
        assert_eq!(server.connections(), 1);
        proxy.stop().await;
    }
}

/// It does not even answer the PING by which the proxy asks whether it has heard.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_client_that_does_not_end_costs_no_handshake_per_request() {
    let server = Server::start(Mode::Believes).await;
    let proxy = TestProxy::start(&server.url, &server.ca_pem).await;
    let mut client = Client::connect(&proxy, &[]).await;
    let mut answered = 0;
    for stream in (1..200).step_by(2) {
        let head = Frame::head(stream, true, &get("/api"));
        if !client.send(&head).await {
            break;
        }
        let answer = async {
            while let Some(frame) = client.next_raw().await {
                if frame.stream == stream && frame.kind == HEADERS {
                    return true;
                }
            }
            false
        };
        answered += usize::from(timeout(LONGEST, answer).await.unwrap());
    }
    assert!(answered > 1, "{answered}");
    assert!(server.connections() <= 4, "{}", server.connections());
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_proved_its_credential_keeps_its_connection() {
    let server = Server::start(Mode::Believes).await;
    let proxy = TestProxy::start(&server.url, &server.ca_pem).await;
    let mut client = Client::connect(&proxy, &[]).await;
    let token = format!("Bearer {}", "t".repeat(600));
    let mut with_token = get("/api/v1/pods").to_vec();
    with_token.push(("authorization", &token));
    client.send(&Frame::head(1, true, &with_token)).await;
    assert_eq!(client.status(1).await, 200);
    // Each of these ends the proxy's connection to the API server, and only that.
    for stream in (3..21).step_by(2) {
        client
            .send(&Frame::head(stream, true, &get("/api/v1/pods")))
            .await;
        assert_eq!(client.status(stream).await, 200);
    }
    assert!(server.connections() > 1);
    proxy.stop().await;
}
