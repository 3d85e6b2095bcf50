//! A length that is given twice goes on once, whatever protocol it came by.

use crate::{
    kit::client::Target,
    support::{
        http2::{self, Client, DATA, END_STREAM, Frame, HEADERS, Peer},
        proxy::TestProxy,
        wire::{TlsListener, Upstream, exchange},
    },
};

#[tokio::test]
async fn equal_lengths_of_an_http2_request_become_one_of_http1() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let mut client = Client::connect(&proxy, &[]).await;
    let mut headers = http2::get("/api").to_vec();
    headers[0] = (":method", "POST");
    headers.extend([("content-length", "4"), ("content-length", "4")]);
    client.send(&Frame::head(1, false, &headers)).await;
    client.send(&Frame::new(DATA, END_STREAM, 1, "body")).await;
    assert_eq!(client.status(1).await, 200);
    let arrived = upstream.recorded().concat();
    let lower = arrived.to_lowercase();
    assert_eq!(
        lower.matches("content-length: 4\r\n").count(),
        1,
        "{arrived}"
    );
    assert!(arrived.ends_with("\r\n\r\nbody"), "{arrived}");
    proxy.stop().await;
}

/// A proxy before a server of HTTP/2 that gives the length of each answer twice.
async fn before_http2() -> TestProxy {
    let listener = TlsListener::bind(&["h2"]).await;
    let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
    listener.serve(|stream| async move {
        let twice = [
            (":status", "200"),
            ("content-length", "2"),
            ("content-length", "2"),
        ];
        let mut server = Peer::serve(stream, &[]).await.unwrap();
        while let Some(frame) = server.next().await {
            if frame.kind == HEADERS {
                let stream = frame.stream;
                server.send(&Frame::head(stream, false, &twice)).await;
                server
                    .send(&Frame::new(DATA, END_STREAM, stream, "ab"))
                    .await;
            }
        }
    });
    TestProxy::start(&url, &ca_pem).await
}

#[tokio::test]
async fn equal_lengths_of_a_response_become_one() {
    const TWICE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab";
    let upstream = Upstream::answering(TWICE).await;
    let proxy = upstream.proxy().await;
    let (head, body) = exchange(&proxy, b"GET /api HTTP/1.1\r\nHost: p\r\n\r\n").await;
    let lower = head.to_lowercase();
    assert_eq!(lower.matches("content-length: 2\r\n").count(), 1, "{head}");
    assert_eq!(body, b"ab");
    for proxy in [proxy, before_http2().await] {
        let target = Target::new(&proxy.url, &proxy.authority);
        let mut sender = target.http2().await.unwrap();
        let request = target.request(http::Method::GET, "/api", b"");
        let answer = sender.send_request(request).await.unwrap();
        let lengths: Vec<_> = answer.headers().get_all("content-length").iter().collect();
        assert_eq!((answer.status().as_u16(), lengths.len()), (200, 1));
        proxy.stop().await;
    }
}
