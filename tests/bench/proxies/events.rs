//! How long events of watches are on their way, and what each takes of CPU.

use std::{path::Path, time::Duration};

use tokio::task::JoinSet;

use crate::{
    compare::least,
    kit::{
        client::{Body, Target},
        contender::{Contender, Protocol},
        upstream::Upstream,
        watch::{Delays, Watch, open_http1, open_many},
    },
};

/// Each proxy is measured once a round, in turn.
const ROUNDS: usize = 3;
/// Until what came while the others were opened is read.
const FIRST: Duration = Duration::from_secs(2);
/// How long events are measured in a round.
const MEASURED: Duration = Duration::from_secs(5);
/// Connections, watches on each, and microseconds between two events of a watch: thousands that are
/// told something now and then, and those of one busy component.
const OPEN: [(Protocol, usize, usize, u64); 4] = [
    (Protocol::Http1, 2_000, 1, 1_000_000),
    (Protocol::Http2, 20, 100, 1_000_000),
    (Protocol::Http1, 4, 1, 50_000),
    (Protocol::Http2, 1, 4, 50_000),
];

/// Of both protocols.
pub async fn measure(programs: &Path) -> bool {
    let mut ok = true;
    for open in OPEN {
        ok &= of(programs, open).await;
    }
    ok
}

/// What a round found.
struct Round {
    p99_ms: f64,
    us: f64,
}

async fn of(programs: &Path, open: (Protocol, usize, usize, u64)) -> bool {
    let (protocol, connections, each, every) = open;
    let upstream = Upstream::start().await;
    let contenders = Contender::start_all(programs, &upstream).await;
    let mut found: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (contender, rounds) in contenders.iter().zip(&mut found) {
            rounds.push(round(contender, open).await);
        }
    }
    println!(
        "{}, {connections} connections x {each} watches with {} events a second each, {ROUNDS} x {} s:",
        protocol.name(),
        1_000_000 / every,
        MEASURED.as_secs()
    );
    let of = |value: fn(&Round) -> f64| {
        let figures = found
            .iter()
            .map(|rounds| rounds.iter().map(value).collect());
        contenders.iter().zip(figures).collect::<Vec<_>>()
    };
    let delay = least("ms for an event, p99", &of(|round| round.p99_ms));
    least("us of CPU an event", &of(|round| round.us)) & delay
}

async fn round(contender: &Contender, open: (Protocol, usize, usize, u64)) -> Round {
    let watches = Watches::open(contender.target(open.0), open).await;
    let (watches, _) = watches.read_for(FIRST).await;
    let before = contender.used();
    let (_watches, delays) = watches.read_for(MEASURED).await;
    let used = contender.used().each(&before, delays.len() as u64);
    Round {
        p99_ms: Delays::new(delays).percentile(99).as_secs_f64() * 1e3,
        us: used.us,
    }
}

/// Open watches with their connections.
struct Watches {
    watches: Vec<Watch>,
    _http1: Vec<hyper::client::conn::http1::SendRequest<Body>>,
    _http2: Vec<hyper::client::conn::http2::SendRequest<Body>>,
}

impl Watches {
    async fn open(
        target: &Target,
        (protocol, connections, each, every): (Protocol, usize, usize, u64),
    ) -> Self {
        let query = format!("every={every}&bytes=2000");
        if protocol == Protocol::Http2 {
            let (senders, watches) = open_many(target, connections, each, &query).await;
            return Self {
                watches,
                _http1: Vec::new(),
                _http2: senders,
            };
        }
        let mut opening = JoinSet::new();
        for _ in 0..connections {
            let (target, query) = (target.clone(), query.clone());
            opening.spawn(async move { open_http1(&target, &query).await });
        }
        let (senders, watches) = opening.join_all().await.into_iter().unzip();
        Self {
            watches,
            _http1: senders,
            _http2: Vec::new(),
        }
    }

    /// Reads them all for that long.
    async fn read_for(mut self, time: Duration) -> (Self, Vec<Duration>) {
        let mut reading = JoinSet::new();
        for mut watch in self.watches.drain(..) {
            reading.spawn(async move {
                let delays = watch.read_for(time).await;
                (watch, delays)
            });
        }
        let (watches, delays): (_, Vec<Vec<Duration>>) =
            reading.join_all().await.into_iter().unzip();
        self.watches = watches;
        (self, delays.concat())
    }
}
