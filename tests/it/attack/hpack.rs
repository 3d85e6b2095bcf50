//! Entries of HPACK's table that each hold on to the buffer they were read from: a path of one
//! byte keeps 16 KiB, or a megabyte, of what was sent with it.

use std::sync::Arc;

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::server::TlsStream;

use crate::support::{
    http2::{ACK, CONTINUATION, Client, END_HEADERS, END_STREAM, Frame, HEADERS, PING, Peer, get},
    recorder::Recorder,
    traced::TracedProxy,
    wire::{LONGEST, TlsListener},
};

/// As many entries of `:authority` as a table of 4,096 bytes has room for.
const ENTRIES: u32 = 95;
/// Longest payload of a frame.
const FRAME: usize = 16 << 10;
/// As many connections as take the budget up with ignored frames.
const FIRST: usize = 11;
/// What the proxy may grow by: without the budget each attack makes it grow by more.
const MOST_KIB: u64 = 26 << 10;
/// A kind of frame that no standard knows, so that it is ignored.
const UNKNOWN: u8 = 0xf0;
/// `:path: /`, which is to be kept.
const PATH: &[u8] = &[0x44, 1, b'/'];
/// `:authority: a`, which is to be kept, as text and in Huffman's code.
const AUTHORITY: &[u8] = &[0x41, 1, b'a'];
const AUTHORITY_HUFFMAN: &[u8] = &[0x41, 0x81, 0x1f];

/// A head in as many frames as it takes.
fn head(stream: u32, end_stream: u8, block: &[u8]) -> Vec<u8> {
    let pieces = block.chunks(FRAME);
    let last = pieces.len() - 1;
    let frames = pieces.enumerate().map(|(number, piece)| {
        let (kind, first) = match number {
            0 => (HEADERS, end_stream),
            _ => (CONTINUATION, 0),
        };
        let flags = first | if number == last { END_HEADERS } else { 0 };
        Frame::new(kind, flags, stream, piece).bytes()
    });
    frames.flatten().collect()
}

/// A long path that is not to be kept, and an authority that is. In Huffman's code 0xfc is `X`.
fn block(length: usize, huffman: bool) -> Vec<u8> {
    let mut block = vec![0x04, if huffman { 0xff } else { 0x7f }];
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
    block.extend(vec![if huffman { 0xfc } else { b'X' }; length]);
    block.extend(if huffman {
        AUTHORITY_HUFFMAN
    } else {
        AUTHORITY
    });
    block
}

fn ignored() -> Vec<u8> {
    Frame::new(UNKNOWN, 0, 0, vec![1; FRAME]).bytes()
}

/// Answers to pings that nobody sent, which nobody answers.
fn pings(count: usize) -> Vec<u8> {
    let ping = Frame::new(PING, ACK, 0, *b"12345678");
    ping.bytes().repeat(count)
}

/// Whether the proxy has come to the end of what was sent, and left the connection open.
async fn is_open(client: &mut Client) -> bool {
    client.send(&Frame::new(PING, 0, 0, *b"the last")).await;
    let answer = async {
        while let Some(frame) = client.next_raw().await {
            if frame.kind == PING && frame.flags & ACK != 0 {
                return true;
            }
        }
        false
    };
    timeout(LONGEST, answer).await.unwrap_or(false)
}

/// What is sent on a stream to fill the table with one entry more.
type Attack = fn(u32) -> Vec<u8>;

fn ignored_between(stream: u32) -> Vec<u8> {
    [head(stream, END_STREAM, PATH), ignored()].concat()
}

/// An attacker's connection, held until all of them are counted, and whether the proxy left it open.
async fn attacked(process: &TracedProxy, attack: Attack) -> (Client, bool) {
    let mut client = Client::connect_to(&process.url, &process.authority, &[]).await;
    for stream in (1..2 * ENTRIES).step_by(2) {
        if !client.send_bytes(&attack(stream)).await {
            break;
        }
    }
    let is_open = is_open(&mut client).await;
    (client, is_open)
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_the_table_share_the_budget_of_heads() {
    // As many of each as keep more than `MOST_KIB` where nothing stops them, with the first ones.
    let attacks: [(&str, usize, Attack); 6] = [
        ("ignored frames between", 40, ignored_between),
        ("pings between", 30, |stream| {
            [head(stream, END_STREAM, PATH), pings(500)].concat()
        }),
        ("text", 30, |stream| {
            head(stream, END_STREAM, &block(16_000, false))
        }),
        ("Huffman", 30, |stream| {
            head(stream, END_STREAM, &block(16_000, true))
        }),
        ("long text", 1, |stream| {
            head(stream, END_STREAM, &block(1_000_000, false))
        }),
        ("long Huffman", 1, |stream| {
            head(stream, END_STREAM, &block(1_000_000, true))
        }),
    ];
    let recorder = Recorder::start(1).await;
    for (name, connections, attack) in attacks {
        let process = TracedProxy::start(&recorder.url, &recorder.ca_pem).await;
        let before = process.resident_kib();
        let mut held = Vec::new();
        // The first ones take most of the budget up, so that each attack soon meets its end.
        for _ in 0..FIRST {
            held.push(attacked(&process, ignored_between).await);
        }
        for _ in 0..connections {
            held.push(attacked(&process, attack).await);
        }
        let open = held.iter().skip(FIRST).filter(|(_, open)| *open).count();
        let grown = process.grown_kib(before);
        eprintln!("{name}: {open} of {connections} are open");
        assert!(grown < MOST_KIB, "{name}: {grown} KiB");
        let mut other = Client::connect_to(&process.url, &process.authority, &[]).await;
        other.send(&Frame::head(1, true, &get("/api"))).await;
        assert_eq!(other.status(1).await, 200, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_fills_its_table_and_keeps_its_connection() {
    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let mut client = Client::connect(&proxy, &[]).await;
    let token = format!("Bearer {}", "t".repeat(600));
    let mut with_token = get("/api/v1/pods").to_vec();
    with_token.push(("authorization", &token));
    client.send(&Frame::head(1, true, &with_token)).await;
    assert_eq!(client.status(1).await, 200);
    for stream in (3..2 * ENTRIES).step_by(2) {
        let mut bytes = head(stream, END_STREAM, &[&[0x82, 0x87], PATH].concat());
        bytes.extend(ignored().repeat(12));
        assert!(client.send_bytes(&bytes).await);
        assert_eq!(client.status(stream).await, 200);
    }
    assert!(is_open(&mut client).await);
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_watch_goes_on_however_many_pings_there_are() {
    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let mut client = Client::connect(&proxy, &[]).await;
    client
        .send(&Frame::head(1, true, &get("/api/v1/pods?watch=1")))
        .await;
    assert_eq!(client.status(1).await, 200);
    for stream in [3, 5, 7] {
        assert!(client.send_bytes(&pings(10_000)).await);
        client
            .send(&Frame::head(stream, true, &get("/api/v1/pods")))
            .await;
        assert_eq!(client.status(stream).await, 200);
    }
    assert!(is_open(&mut client).await);
    proxy.stop().await;
}

/// `:status: 103`, by the name that the standard's table has.
const INTERIM: &[u8] = &[0x08, 3, b'1', b'0', b'3'];

/// Answers each request after as many interim responses as fill the table.
async fn serve_hostile(stream: TlsStream<TcpStream>, block: Arc<Vec<u8>>) {
    let Some(mut server) = Peer::serve(stream, &[]).await else {
        return;
    };
    while let Some(frame) = server.next().await {
        if frame.kind != HEADERS {
            continue;
        }
        let interim = head(frame.stream, 0, &block);
        for _ in 0..ENTRIES {
            if !server.send_bytes(&interim).await {
                return;
            }
        }
        let ok = [(":status", "200")];
        server.send(&Frame::head(frame.stream, true, &ok)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_fills_no_table_with_what_only_requests_have() {
    for (name, length, huffman) in [("text", 500_000, false), ("Huffman", 500_000, true)] {
        let block = Arc::new([INTERIM, &block(length, huffman)].concat());
        let listener = TlsListener::bind(&["h2"]).await;
        let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
        listener.serve(move |stream| serve_hostile(stream, Arc::clone(&block)));
        let process = TracedProxy::start(&url, &ca_pem).await;
        let before = process.resident_kib();
        let mut held = Vec::new();
        for _ in 0..4 {
            let mut client = Client::connect_to(&process.url, &process.authority, &[]).await;
            client.send(&Frame::head(1, true, &get("/api"))).await;
            assert_eq!(client.status(1).await, 502, "{name}");
            held.push(client);
        }
        let grown = process.grown_kib(before);
        assert!(grown < 32 << 10, "{name}: {grown} KiB");
    }
}
