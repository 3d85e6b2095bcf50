//! What a large answer leaves in memory.

use std::{path::Path, time::Duration};

use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::sleep;

use crate::{
    compare::least,
    kit::{
        client::Target,
        contender::{Contender, Protocol},
        upstream::Upstream,
    },
};

const BYTES: usize = 100 << 20;
/// Until what was needed for the answer alone is given back.
const REST: Duration = Duration::from_secs(3);

/// Of both protocols.
pub async fn measure(programs: &Path) -> bool {
    let mut ok = true;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        ok &= of(programs, protocol).await;
    }
    ok
}

async fn of(programs: &Path, protocol: Protocol) -> bool {
    let upstream = Upstream::start().await;
    let contenders = Contender::start_all(programs, &upstream).await;
    println!("{}, after one list of 100 MiB:", protocol.name());
    let mut left = Vec::new();
    for contender in &contenders {
        let target = contender.target(protocol);
        list(target, protocol, 2).await;
        let before = contender.memory_kib();
        list(target, protocol, BYTES).await;
        sleep(REST).await;
        let more = contender.memory_kib().saturating_sub(before);
        left.push((contender, vec![more as f64]));
    }
    least("KiB more resident", &left)
}

/// On a connection of its own, which is closed then.
async fn list(target: &Target, protocol: Protocol, bytes: usize) {
    let path = format!("/api/v1/pods?bytes={bytes}");
    if protocol == Protocol::Http2 {
        let mut sender = target.http2().await.unwrap();
        let request = target.request(Method::GET, &path, b"");
        let response = sender.send_request(request).await.unwrap();
        read(response.into_body(), bytes).await;
    } else {
        let mut sender = target.http1().await.unwrap();
        let request = target.request_http1(Method::GET, &path, b"");
        let response = sender.send_request(request).await.unwrap();
        read(response.into_body(), bytes).await;
    }
}

async fn read(mut body: Incoming, bytes: usize) {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        read += frame.unwrap().data_ref().map_or(0, bytes::Bytes::len);
    }
    assert_eq!(read, bytes);
}
