//! What clients and servers do now and then, and other proxies have stumbled over.

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};

use crate::{
    kit::{self, client::Target},
    support::{
        caller::Caller,
        http2::{CANCEL, Client, DATA, END_STREAM, Frame, HEADERS, Peer, RST_STREAM, get},
        proxy::TestProxy,
        traced::TracedProxy,
        two_ways::TwoWays,
        wire::{LONGEST, TlsListener, Upstream, books, connect, counted, exchange, read_head},
    },
};

#[tokio::test]
async fn an_upgrade_that_also_says_close_is_one() {
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let upstream = Upstream::echo(answer).await;
    let proxy = upstream.proxy().await;
    for connection in ["close, Upgrade", "Upgrade, close", "keep-alive, Upgrade"] {
        let mut stream = connect(&proxy).await;
        let request = format!(
            "GET /api/v1/namespaces/n/pods/p/exec HTTP/1.1\r\nHost: p\r\nConnection: {connection}\r\nUpgrade: websocket\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = timeout(LONGEST, read_head(&mut stream)).await.unwrap();
        let (head, _) = head.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{connection}: {head}");
        stream.write_all(b"echo").await.unwrap();
        let mut echo = [0; 4];
        let read = timeout(LONGEST, stream.read_exact(&mut echo)).await;
        read.unwrap().unwrap();
        assert_eq!(&echo, b"echo", "{connection}");
    }
    for head in upstream.heads() {
        let lower = head.to_lowercase();
        assert!(lower.contains("\r\nconnection: upgrade\r\n"), "{head}");
    }
    proxy.stop().await;
}

/// kube-apiserver answers 401 and GOAWAY to a token that it does not know. The watch of another
/// user on the same connection goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_ends_no_watch_beside_it() {
    let Some(two) = TwoWays::start().await else {
        return;
    };
    let caller = Caller::connect(&two.proxy, two.cluster.admin_token()).await;
    let path = "/api/v1/namespaces/default/configmaps";
    let watch = caller.send(Method::GET, &format!("{path}?watch=1")).await;
    let mut watch = watch.unwrap().into_body();
    let refused = caller.send_as("nobody", Method::GET, path).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    refused.into_body().collect().await.unwrap();
    caller.get(path).await;
    let client = two.cluster.admin_client().unwrap();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let beside = ConfigMap {
        metadata: ObjectMeta {
            name: Some("beside".to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    api.create(&PostParams::default(), &beside).await.unwrap();
    let mut events = Vec::new();
    while !String::from_utf8_lossy(&events).contains("\"beside\"") {
        let frame = timeout(LONGEST, watch.frame()).await.unwrap();
        let frame = frame.expect("the watch goes on").unwrap();
        events.extend_from_slice(frame.data_ref().unwrap());
    }
    let books = books(&two.proxy).await;
    let watches = counted(&books, |call| call.verb == "watch");
    assert_eq!(watches, [("200".to_owned(), String::new(), 1)]);
    two.proxy.stop().await;
}

/// A list by watch (`sendInitialEvents`) on an API server that never sends the bookmark which ends
/// the list: events come at once all the same, and who gives up ends the watch.
#[tokio::test]
async fn a_list_by_watch_whose_end_never_comes_is_one_watch_until_its_client_leaves() {
    const EVENT: &str = "{\"type\":\"ADDED\",\"object\":{}}\n";
    let (sender, mut ends) = mpsc::unbounded_channel();
    let listener = TlsListener::bind(&["h2"]).await;
    let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
    listener.serve(move |stream| {
        let sender = sender.clone();
        async move {
            let json = [(":status", "200"), ("content-type", "application/json")];
            let mut server = Peer::serve(stream, &[]).await.unwrap();
            while let Some(frame) = server.next().await {
                if frame.kind == HEADERS {
                    let stream = frame.stream;
                    server.send(&Frame::head(stream, false, &json)).await;
                    server.send(&Frame::new(DATA, 0, stream, EVENT)).await;
                } else if frame.kind == RST_STREAM {
                    let _ = sender.send(frame.reason());
                }
            }
        }
    });
    let proxy = TestProxy::start(&url, &ca_pem).await;
    let mut client = Client::connect(&proxy, &[]).await;
    let mut list = get(
        "/api/v1/pods?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan",
    )
    .to_vec();
    list.push(("authorization", "Bearer t"));
    client.send(&Frame::head(1, true, &list)).await;
    assert_eq!(client.status(1).await, 200);
    let event = client.find(|frame| frame.kind == DATA).await;
    assert_eq!(
        (event.payload.as_slice(), event.flags),
        (EVENT.as_bytes(), 0)
    );
    let open = books(&proxy).await;
    assert_eq!((open.calls[0].opened, open.calls[0].closed), (1, 0));
    client.send(&Frame::reset(1, CANCEL)).await;
    let end = timeout(LONGEST, ends.recv()).await.unwrap();
    assert_eq!(end, Some(CANCEL));
    let closed = books(&proxy).await;
    let watches = counted(&closed, |call| call.verb == "watch");
    assert_eq!(watches, [("200".to_owned(), String::new(), 1)]);
    let row = &closed.rows[0];
    assert_eq!((row.cut_short, row.response_bytes), (1, EVENT.len() as u64));
    proxy.stop().await;
}

/// The answer to a body that is too large comes before the body ends, which nobody reads any more.
#[tokio::test]
async fn an_answer_that_comes_before_the_body_ends_is_passed_on() {
    let refusal =
        b"HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
    let upstream = Upstream::once(refusal).await;
    let proxy = upstream.proxy().await;
    let begun = "POST /api/v1/namespaces/n/configmaps HTTP/1.1\r\nHost: p\r\nContent-Length: 4000000\r\n\r\nbegun";
    let (head, body) = exchange(&proxy, begun.as_bytes()).await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(body, b"no");
    refused_once(&proxy).await;

    let listener = TlsListener::bind(&["h2"]).await;
    let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
    listener.serve(|stream| async move {
        let mut server = Peer::serve(stream, &[]).await.unwrap();
        while let Some(frame) = server.next().await {
            if frame.kind == DATA {
                let head = Frame::head(frame.stream, false, &[(":status", "413")]);
                server.send(&head).await;
                let body = Frame::new(DATA, END_STREAM, frame.stream, "no");
                server.send(&body).await;
                server.send(&Frame::reset(frame.stream, 0)).await;
            }
        }
    });
    let proxy = TestProxy::start(&url, &ca_pem).await;
    let mut client = Client::connect(&proxy, &[]).await;
    let mut post = get("/api/v1/namespaces/n/configmaps").to_vec();
    post[0] = (":method", "POST");
    client.send(&Frame::head(1, false, &post)).await;
    client.send(&Frame::new(DATA, 0, 1, "begun")).await;
    assert_eq!(client.status(1).await, 413);
    let body = client.find(|frame| frame.kind == DATA).await;
    assert_eq!(body.payload, b"no");
    refused_once(&proxy).await;
    // The connection stays.
    client.send(&Frame::head(3, false, &post)).await;
    client.send(&Frame::new(DATA, 0, 3, "begun")).await;
    assert_eq!(client.status(3).await, 413);
    proxy.stop().await;
}

async fn refused_once(proxy: &TestProxy) {
    let found = counted(&books(proxy).await, |call| call.resource == "configmaps");
    assert_eq!(found, [("413".to_owned(), String::new(), 1)]);
}

/// The same of kube-apiserver itself, which takes 3 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn kube_apiservers_refusal_of_a_large_body_arrives() {
    let Some(two) = TwoWays::start().await else {
        return;
    };
    let caller = Caller::connect(&two.proxy, two.cluster.admin_token()).await;
    let path = "/api/v1/namespaces/default/configmaps";
    let body = vec![b' '; 8 << 20];
    let refused = caller.post(path, body.into()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    refused.into_body().collect().await.unwrap();
    refused_once(&two.proxy).await;
    caller.get("/api/v1/namespaces").await;
    two.proxy.stop().await;
}

/// What one large answer needs goes with it, whether its client takes it fast or slowly.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_100_mib_leaves_no_memory_behind() {
    const LIST: usize = 100 << 20;
    let upstream = kit::upstream::Upstream::start().await;
    let proxy = TracedProxy::start(&upstream.url, &upstream.authority.certificate_pem()).await;
    let target = Target::new(&proxy.url, &proxy.authority);
    let mut sender = target.http2().await.unwrap();
    let mut list = async |bytes: usize, is_slow: bool| {
        let path = format!("/api/v1/pods?bytes={bytes}");
        let request = target.request(Method::GET, &path, b"");
        let mut body = sender.send_request(request).await.unwrap().into_body();
        if is_slow {
            // Until everything in between is full.
            proxy.idle().await;
        }
        let mut taken = 0;
        while let Some(frame) = body.frame().await {
            taken += frame.unwrap().data_ref().unwrap().len();
        }
        assert_eq!(taken, bytes);
    };
    list(1_000, false).await;
    proxy.idle().await;
    let before = proxy.resident_kib();
    for is_slow in [false, true, false, true] {
        list(LIST, is_slow).await;
        proxy.idle().await;
        let grown = proxy.grown_kib(before);
        assert!(grown < 4 << 10, "{grown} KiB");
    }
}
