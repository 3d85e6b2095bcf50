//! CPU for a request at the rates of real components: nobody leaves a proxy saturated.

use std::{path::Path, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::{
    compare::{Found, compare},
    kit::{
        client::Target,
        contender::{Contender, Protocol},
        upstream::Upstream,
    },
    requests::{Sender, connect},
};

/// Each proxy is measured once a round, in turn: rounds are short, so that whatever else the machine does
/// falls upon all.
const ROUNDS: usize = 16;
const CONNECTIONS: u32 = 4;
/// Requests a second over all connections, and how many there are in a round.
const RATES: [(u32, u32); 3] = [(40, 60), (80, 120), (400, 400)];
/// On each connection before anything is measured.
const FIRST: u64 = 20;

/// Of both protocols.
pub async fn measure(programs: &Path) -> bool {
    let mut ok = true;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for rate in RATES {
            ok &= of(programs, protocol, rate).await;
        }
    }
    ok
}

async fn of(programs: &Path, protocol: Protocol, (rate, count): (u32, u32)) -> bool {
    let upstream = Upstream::start().await;
    let contenders = Contender::start_all(programs, &upstream).await;
    let mut clients = Vec::new();
    for contender in &contenders {
        clients.push(Clients::connect(contender.target(protocol), protocol).await);
    }
    let mut found: Vec<Found<'_>> = contenders.iter().map(Found::new).collect();
    for _ in 0..ROUNDS {
        for (at, contender) in contenders.iter().enumerate() {
            let before = contender.used();
            clients[at].send(rate, count).await;
            let used = contender.used().each(&before, count.into());
            found[at].rounds.push(used);
            upstream.records.take_answers();
        }
    }
    for (at, contender) in contenders.iter().enumerate() {
        let counting = contender.system_calls();
        clients[at].send(rate, count).await;
        found[at].count(counting, count.into());
    }
    println!(
        "{}, {rate} requests a second over {CONNECTIONS} connections, {ROUNDS} x {count}:",
        protocol.name()
    );
    compare(&found)
}

/// Connections of clients that ask now and then.
struct Clients {
    senders: Vec<Sender>,
    target: Target,
}

impl Clients {
    async fn connect(target: &Target, protocol: Protocol) -> Self {
        let mut senders = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut sender = connect(target, protocol, 1).await.swap_remove(0);
            for number in 0..FIRST {
                sender.send(target, number).await;
            }
            senders.push(sender);
        }
        Self {
            senders,
            target: target.clone(),
        }
    }

    /// So many requests at so many a second; each connection has its turn.
    async fn send(&mut self, rate: u32, count: u32) {
        let pause = Duration::from_secs(CONNECTIONS.into()) / rate;
        let mut sending = JoinSet::new();
        for (number, mut sender) in (0..).zip(self.senders.drain(..)) {
            let first = Instant::now() + pause * number / CONNECTIONS;
            let target = self.target.clone();
            sending.spawn(async move {
                let mut ticks = interval_at(first, pause);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                for number in 0..count / CONNECTIONS {
                    ticks.tick().await;
                    sender.send(&target, number.into()).await;
                }
                sender
            });
        }
        self.senders = sending.join_all().await;
    }
}
