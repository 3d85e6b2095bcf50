//! CPU for a request where clients ask as fast as they are answered.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::task::JoinSet;

use crate::{
    compare::{Found, compare},
    kit::{
        client::Target,
        contender::{Contender, Protocol},
        upstream::Upstream,
    },
    requests::{Sender, connect},
};

/// Each proxy is measured once a round, in turn.
const ROUNDS: usize = 16;
const REQUESTS: u64 = 10_000;
/// Connections, and requests at once on each.
const LOAD: [(Protocol, usize, usize); 2] = [(Protocol::Http1, 32, 1), (Protocol::Http2, 4, 16)];

/// Of both protocols.
pub async fn measure(programs: &Path) -> bool {
    let mut ok = true;
    for load in LOAD {
        ok &= of(programs, load).await;
    }
    ok
}

async fn of(programs: &Path, (protocol, connections, at_once): (Protocol, usize, usize)) -> bool {
    let upstream = Upstream::start().await;
    let contenders = Contender::start_all(programs, &upstream).await;
    let mut found: Vec<Found<'_>> = contenders.iter().map(Found::new).collect();
    // The first round says how long opening takes.
    for round in 0..=ROUNDS {
        for (contender, found) in contenders.iter().zip(&mut found) {
            let before = contender.used();
            storm(contender.target(protocol), protocol, connections, at_once).await;
            let used = contender.used().each(&before, REQUESTS);
            if round > 0 {
                found.rounds.push(used);
            }
            upstream.records.take_answers();
        }
    }
    for (contender, found) in contenders.iter().zip(&mut found) {
        let counting = contender.system_calls();
        storm(contender.target(protocol), protocol, connections, at_once).await;
        found.count(counting, REQUESTS);
    }
    println!(
        "{}, {connections} connections x {at_once} at once, {ROUNDS} x {REQUESTS} requests:",
        protocol.name()
    );
    compare(&found)
}

/// Sends [`REQUESTS`]; panics if one is not answered well.
async fn storm(target: &Target, protocol: Protocol, connections: usize, at_once: usize) {
    let left = Arc::new(AtomicU64::new(REQUESTS));
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        for sender in connect(target, protocol, at_once).await {
            let (target, left) = (target.clone(), Arc::clone(&left));
            clients.spawn(send_all(sender, target, left));
        }
    }
    clients.join_all().await;
}

async fn send_all(mut sender: Sender, target: Target, left: Arc<AtomicU64>) {
    while let Some(number) = next(&left) {
        sender.send(&target, number).await;
    }
}

fn next(left: &AtomicU64) -> Option<u64> {
    let less = |left: u64| left.checked_sub(1);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
        .ok()
}
