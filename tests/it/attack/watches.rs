//! Watches that are cut: they end as if they were over only where their client can go on.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::support::{
    http2::{Client, DATA, END_STREAM, Frame, HEADERS, RST_STREAM, get},
    wire::{LONGEST, Upstream, connect},
};

/// The beginning of a watch's response; what follows are its chunks.
const WATCH_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
const EVENT: &str = "11\r\n{\"type\":\"ADDED\"}\n\r\n";

/// What an API server sends of a watch before its connection is lost, and whether the watch may
/// end as if it were over. client-go goes on from its last event after that.
fn watches_that_are_cut() -> [(String, bool); 5] {
    let half = "7\r\n{\"type\"\r\n";
    [
        (String::new(), true),
        (EVENT.to_owned(), true),
        (format!("{EVENT}{half}"), false),
        (format!("{EVENT}ff\r\n{{"), false),
        (format!("{EVENT}zz\r\n"), false),
    ]
}

#[tokio::test]
async fn a_watch_that_is_cut_in_an_event_does_not_end_as_if_it_were_over() {
    for (sent, ends_well) in watches_that_are_cut() {
        let answer: &'static [u8] = format!("{WATCH_HEAD}{sent}").leak().as_bytes();
        let upstream = Upstream::once(answer).await;
        let proxy = upstream.proxy().await;
        let target = "/api/v1/pods?watch=1";
        let request = format!("GET {target} HTTP/1.1\r\nHost: p\r\n\r\n");
        let mut stream = connect(&proxy).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        let last_chunk = b"\r\n0\r\n\r\n";
        while !got.ends_with(last_chunk) {
            match timeout(LONGEST, stream.read(&mut buffer)).await.unwrap() {
                Ok(count @ 1..) => got.extend_from_slice(&buffer[..count]),
                _ => break,
            }
        }
        let text = String::from_utf8_lossy(&got);
        assert_eq!(got.ends_with(last_chunk), ends_well, "{sent}: {text}");

        let mut client = Client::connect(&proxy, &[]).await;
        client.send(&Frame::head(1, true, &get(target))).await;
        let is_end = |frame: &Frame| {
            let is_last = matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
            frame.stream == 1 && (frame.kind == RST_STREAM || is_last)
        };
        let end = client.find(is_end).await;
        assert_eq!(end.kind != RST_STREAM, ends_well, "{sent}: {end:?}");
        proxy.stop().await;
    }
}
