//! Memory for a watch at rest.

use std::{any::Any, path::Path, time::Duration};

use tokio::time::sleep;

use crate::{
    compare::least,
    kit::{
        client::Target,
        contender::{Contender, Protocol},
        upstream::Upstream,
        watch::{open_http1, open_many},
    },
};

/// Connections, and watches on each: over HTTP/1.1 a connection has one.
const OPEN: [(Protocol, usize, usize); 4] = [
    (Protocol::Http1, 2_000, 1),
    (Protocol::Http2, 500, 1),
    (Protocol::Http2, 100, 20),
    (Protocol::Http2, 20, 100),
];
const QUERY: &str = "every=1000000&bytes=300";
/// Until what was needed for opening alone is given back.
const REST: Duration = Duration::from_secs(3);

/// Of both protocols.
pub async fn measure(programs: &Path) -> bool {
    let mut ok = true;
    for open in OPEN {
        ok &= of(programs, open).await;
    }
    ok
}

async fn of(programs: &Path, (protocol, connections, each): (Protocol, usize, usize)) -> bool {
    let upstream = Upstream::start().await;
    let contenders = Contender::start_all(programs, &upstream).await;
    println!(
        "{}, {connections} connections x {each} watches, resident memory:",
        protocol.name()
    );
    let mut lines = Vec::new();
    for contender in &contenders {
        let target = contender.target(protocol);
        drop(open(target, protocol, 1, 1).await);
        let before = contender.memory_kib();
        let open = open(target, protocol, connections, each).await;
        sleep(REST).await;
        let more = contender.memory_kib().saturating_sub(before);
        drop(open);
        lines.push((contender, vec![more as f64 / (connections * each) as f64]));
    }
    least("KiB a watch", &lines)
}

/// Opens watches, which last as long as what is given.
async fn open(
    target: &Target,
    protocol: Protocol,
    connections: usize,
    each: usize,
) -> Vec<Box<dyn Any>> {
    if protocol == Protocol::Http2 {
        return vec![Box::new(open_many(target, connections, each, QUERY).await)];
    }
    let mut open: Vec<Box<dyn Any>> = Vec::new();
    for _ in 0..connections {
        open.push(Box::new(open_http1(target, QUERY).await));
    }
    open
}
