//! Trailers: they say nothing of who asks, where to, or how a message is framed, and a response
//! that ends with them has ended well.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response};
use tokio::time::timeout;

use crate::{
    kit::client::Target,
    support::{
        proxy::TestProxy,
        wire::{LONGEST, TlsListener, Upstream, books, last_words},
    },
};

/// What no request may say behind its body.
const OF_A_REQUEST: [&str; 11] = [
    "x-remote-user",
    "x_remote_group",
    "x-remote-extra-scopes",
    "impersonate-user",
    "authorization",
    "cookie",
    "x-forwarded-for",
    "host",
    "content-type",
    "expect",
    "sec-websocket-protocol",
];

/// What belongs to one hop or frames a message, which neither may say there. Over HTTP/2 nobody may
/// say more.
const OF_EITHER: [&str; 5] = [
    "content-length",
    "trailer",
    "http2-settings",
    "proxy-authenticate",
    "proxy-authorization",
];

/// The same of HTTP/1.1 alone; the last is named by `Connection`.
const OF_HTTP1: [&str; 6] = [
    "connection",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
    "x-hop",
];

fn map(names: &[&str]) -> HeaderMap {
    let names = names.iter().chain(&["x-sum"]);
    names
        .map(|name| (name.parse::<HeaderName>().unwrap(), "1".parse().unwrap()))
        .collect()
}

fn names(trailers: &HeaderMap) -> Vec<&str> {
    trailers.keys().map(HeaderName::as_str).collect()
}

/// A server of HTTP/2 that answers each request with these trailers; and those that came.
async fn serve(trailers: HeaderMap) -> (String, String, Arc<Mutex<Vec<HeaderMap>>>) {
    let listener = TlsListener::bind(&["h2"]).await;
    let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&arrived);
    listener.serve(move |stream| {
        let (trailers, arrived) = (trailers.clone(), Arc::clone(&arrived));
        async move {
            let mut http2 = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = http2.accept().await {
                let (trailers, arrived) = (trailers.clone(), Arc::clone(&arrived));
                tokio::spawn(async move {
                    let (_, got) = read(request.into_body()).await;
                    arrived.lock().unwrap().push(got.unwrap_or_default());
                    let mut body = respond.send_response(Response::new(()), false).unwrap();
                    body.send_data(Bytes::from("body"), false).unwrap();
                    body.send_trailers(trailers).unwrap();
                });
            }
        }
    });
    (url, ca_pem, recorded)
}

async fn read(mut body: h2::RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        bytes.extend(data.unwrap());
    }
    (bytes, body.trailers().await.unwrap())
}

/// Sends a request with these trailers over HTTP/2, and gives the body and the trailers of its
/// answer.
async fn ask(proxy: &TestProxy, trailers: HeaderMap) -> (Vec<u8>, Option<HeaderMap>) {
    let target = Target::new(&proxy.url, &proxy.authority);
    let stream = target.connect("h2").await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post("https://p/api").body(()).unwrap();
    let (response, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(Bytes::from("body"), false).unwrap();
    body.send_trailers(trailers).unwrap();
    let answer = timeout(LONGEST, async {
        read(response.await.unwrap().into_body()).await
    });
    let answer = answer.await.unwrap();
    connection.abort();
    answer
}

/// Each request was answered, and its response ended well.
async fn ended_well(proxy: TestProxy) {
    let books = books(&proxy).await;
    for row in &books.rows {
        assert_eq!(
            (row.outcome.code(), row.cut_short),
            (Some(200), 0),
            "{row:?}"
        );
    }
    proxy.stop().await;
}

#[tokio::test]
async fn trailers_of_http2_name_neither_who_asks_nor_a_framing() {
    let (url, ca_pem, arrived) = serve(map(&OF_EITHER)).await;
    let proxy = TestProxy::start(&url, &ca_pem).await;
    let all = [&OF_A_REQUEST[..], &OF_EITHER].concat();
    let (body, trailers) = ask(&proxy, map(&all)).await;
    assert_eq!(
        (&body[..], names(&trailers.unwrap())),
        (&b"body"[..], vec!["x-sum"])
    );
    // A request that loses all of them has an end all the same.
    let mut only = map(&["x-remote-user"]);
    only.remove("x-sum");
    ask(&proxy, only).await;
    let arrived = arrived.lock().unwrap().clone();
    let arrived: Vec<_> = arrived.iter().map(names).collect();
    assert_eq!(arrived, [vec!["x-sum"], vec![]]);
    ended_well(proxy).await;
}

#[tokio::test]
async fn trailers_of_http1_name_neither_who_asks_nor_a_framing() {
    let names = [&OF_EITHER[..], &OF_HTTP1].concat();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\n{}",
        chunked(&names)
    );
    let upstream = Upstream::once(answer.leak().as_bytes()).await;
    let proxy = upstream.proxy().await;
    let all = [&OF_A_REQUEST[..], &names].concat();
    // The names of trailers are those that the head names; `Connection` may not name the first.
    let request = format!(
        "POST /api HTTP/1.1\r\nHost: p\r\nTE: trailers\r\nConnection: close, X-Hop\r\n{}",
        chunked(&all)
    );
    let answer = last_words(&proxy, request.as_bytes()).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n");
    ended_well(proxy).await;

    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    last_words(&proxy, request.as_bytes()).await;
    let arrived = upstream.recorded().concat();
    let (_, body) = arrived.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n");
    ended_well(proxy).await;
}

/// From HTTP/2 to an API server that has HTTP/1.1 only.
#[tokio::test]
async fn trailers_of_http2_that_become_those_of_http1_lose_as_much() {
    let answer = format!("HTTP/1.1 200 OK\r\n{}", chunked(&OF_EITHER));
    let upstream = Upstream::answering(answer.leak().as_bytes()).await;
    let proxy = upstream.proxy().await;
    let (body, trailers) = ask(&proxy, map(&OF_A_REQUEST)).await;
    assert_eq!(
        (&body[..], names(&trailers.unwrap())),
        (&b"body"[..], vec!["x-sum"])
    );
    let arrived = upstream.recorded().concat();
    assert!(arrived.ends_with("4\r\nbody\r\n0\r\n\r\n"), "{arrived}");
    ended_well(proxy).await;
}

/// `Trailer`, the empty line, and a body with these trailers.
fn chunked(names: &[&str]) -> String {
    let lines: String = names.iter().map(|name| format!("{name}: 1\r\n")).collect();
    let names = names.join(", ");
    format!(
        "Trailer: {names}, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n{lines}X-Sum: 1\r\n\r\n"
    )
}
