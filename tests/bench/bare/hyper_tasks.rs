//! hyper as it is meant to be used: its client's connections are tasks, and so is each HTTP/2 stream.

use std::sync::Arc;

use hyper::{
    client::conn::{http1, http2},
    server,
    service::service_fn,
};
use hyper_util::rt::TokioExecutor;
use tokio::sync::Mutex;

use super::{Downstream, Upstream};

pub async fn http1(stream: Downstream, upstream: &Upstream) {
    let (sender, connection) = http1::handshake(upstream.connect().await).await.unwrap();
    tokio::spawn(connection);
    let sender = Arc::new(Mutex::new(sender));
    let service = service_fn(move |request| {
        let sender = Arc::clone(&sender);
        async move {
            let mut sender = sender.lock().await;
            sender.ready().await?;
            sender.send_request(request).await
        }
    });
    // However it ends, the clients say what matters.
    let _ = server::conn::http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}

pub async fn http2(stream: Downstream, upstream: &Upstream) {
    let stream_upstream = upstream.connect().await;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream_upstream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let service = service_fn(move |request| {
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    });
    let _ = server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(stream, service)
        .await;
}
