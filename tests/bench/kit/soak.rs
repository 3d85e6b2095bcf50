//! Rounds of a mixed load, while the upstream restarts and the certificate changes. After each round
//! the books must equal the upstream's records, nothing may be in flight, and memory and descriptors
//! must be where they were: memory after the first round, descriptors before it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use record::{CallRecord, OpenRun, RunDetailRecord};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    client::Target,
    load::{Seen, Worker},
    proxy::ProxyProcess,
    upstream::{Answered, Upstream},
    watch::until,
};

const LONGEST: Duration = Duration::from_secs(30);
/// Memory may grow by so much after the first round, in KiB: what an allocator holds back.
const MEMORY_SLACK: u64 = 16 << 10;

/// A proxy under load, in front of a recording upstream.
pub struct Soak {
    upstream: Upstream,
    proxy: ProxyProcess,
    rounds: u32,
    /// How many of the last requests the proxy keeps.
    recorder: usize,
    /// Descriptors before the first round.
    descriptors: usize,
    /// Memory in KiB after the first round, whose caches and tables stay, that left as many requests
    /// as are kept.
    first: Option<u64>,
}

impl Soak {
    /// With a proxy that keeps so many of the last requests.
    pub async fn start(recorder: usize) -> Self {
        let upstream = Upstream::start().await;
        let ca = upstream.authority.certificate_pem();
        let arguments = ["--recorder", &recorder.to_string()];
        let proxy = ProxyProcess::start_with(&upstream.url, &ca, &arguments);
        // With the connection of whoever looks.
        proxy.admin.snapshot().await.unwrap();
        let descriptors = proxy.descriptors();
        Self {
            upstream,
            proxy,
            rounds: 0,
            recorder,
            descriptors,
            first: None,
        }
    }

    /// Loads the proxy for that long, closes everything, and compares.
    pub async fn round(&mut self, length: Duration) -> Round {
        let id = format!("soak-{}", self.rounds);
        let asked = OpenRun {
            journal: true,
            ..OpenRun::default()
        };
        self.proxy.admin.open_run(&id, &asked).await.unwrap();
        let worker = Worker {
            target: Target::new(&self.proxy.url, &self.proxy.authority),
            seen: Arc::default(),
            stop: CancellationToken::new(),
        };
        let workers = worker.start_all(u64::from(self.rounds));
        let restarts = self.disturb(length).await;
        worker.stop.cancel();
        workers.join_all().await;
        let mut faults = Vec::new();
        self.await_rest(&mut faults).await;
        let books = self.proxy.admin.close_run(&id).await.unwrap();
        let answers = self.upstream.records.take_answers();
        let unanswered = compare(&books, &answers, &mut faults);
        let is_full = self.first.is_some() || self.is_recorder_full().await;
        // A few are lost with their connection before their client is known.
        if answers.len() >= 2 * self.recorder && !is_full {
            faults.push("fewer requests are kept than there is room for".to_owned());
        }
        let (memory, descriptors) = (self.proxy.memory_kib(), self.proxy.descriptors());
        if is_full {
            self.first.get_or_insert(memory);
        }
        if let Some(first) = self.first.filter(|first| memory > first + MEMORY_SLACK) {
            faults.push(format!("memory grew from {first} to {memory} KiB"));
        }
        self.rounds += 1;
        Round {
            number: self.rounds,
            seen: worker.seen,
            answers: answers.len(),
            unanswered,
            restarts,
            memory,
            descriptors,
            faults,
        }
    }

    /// Whether as many of the last requests are kept as there is room for. Once it is so it is not
    /// asked again: the answer has all of them, and an allocator may keep memory in which that was
    /// made.
    async fn is_recorder_full(&self) -> bool {
        if self.recorder == 0 {
            return true;
        }
        let recent = self.proxy.admin.recent().await.unwrap();
        recent.journal.len() == self.recorder
    }

    /// Restarts the upstream three times and changes the certificate once. Gives the restarts.
    async fn disturb(&mut self, length: Duration) -> u32 {
        let mut restarts = 0;
        for step in 0..8 {
            sleep(length / 8).await;
            match step {
                1 | 4 | 6 => {
                    self.upstream.stop();
                    // Sometimes it is back at once, sometimes clients meet nobody for a while.
                    sleep(Duration::from_millis(u64::from(self.rounds % 3) * 300)).await;
                    self.upstream.listen();
                    restarts += 1;
                }
                3 => self.proxy.replace_certificate(),
                _ => {}
            }
        }
        restarts
    }

    /// Waits until nothing is in flight and all connections are closed.
    async fn await_rest(&self, faults: &mut Vec<String>) {
        let open = || {
            self.upstream
                .records
                .connections_open
                .load(Ordering::Relaxed)
        };
        if until(LONGEST, || open() == 0).await.is_none() {
            faults.push(format!("{} upstream connections are left", open()));
        }
        let ends = Instant::now() + LONGEST;
        loop {
            let books = self.proxy.admin.snapshot().await.unwrap();
            let calls = books.calls.iter();
            let in_flight: u64 = calls.map(|call| call.opened - call.closed).sum();
            if in_flight == 0 {
                break;
            }
            if Instant::now() > ends {
                faults.push(format!("{in_flight} requests are in flight for ever"));
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        // A descriptor is closed a moment after the last request.
        let (before, now) = (self.descriptors, || self.proxy.descriptors());
        if until(LONGEST, || now() <= before).await.is_none() {
            faults.push(format!("{} descriptors, {before} before all rounds", now()));
        }
    }
}

/// What a round came to.
#[derive(Debug)]
pub struct Round {
    pub number: u32,
    pub seen: Arc<Seen>,
    pub answers: usize,
    pub unanswered: u64,
    pub restarts: u32,
    pub memory: u64,
    pub descriptors: usize,
    pub faults: Vec<String>,
}

impl std::fmt::Display for Round {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seen = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            formatter,
            "round {}: answered {}, failed {}, cancelled {}, events {}, tunnels {}; books and records: {} \
             with a code, {} without; upstream restarts {}; {} KiB, {} descriptors; {}",
            self.number,
            seen(&self.seen.answered),
            seen(&self.seen.failed),
            seen(&self.seen.cancelled),
            seen(&self.seen.events),
            seen(&self.seen.tunnels),
            self.answers,
            self.unanswered,
            self.restarts,
            self.memory,
            self.descriptors,
            if self.faults.is_empty() {
                "ok"
            } else {
                "FAULT"
            }
        )
    }
}

/// Each answer of the upstream is in the journal once, with its code and call; or its client or its
/// connection was gone before the head could be passed on, which the books say too. Gives the
/// requests without an answer.
fn compare(
    books: &RunDetailRecord,
    answers: &HashMap<String, Answered>,
    faults: &mut Vec<String>,
) -> u64 {
    let rows: HashMap<u32, _> = books
        .snapshot
        .rows
        .iter()
        .map(|row| (row.id, row))
        .collect();
    let mut left: HashMap<&str, &Answered> = answers
        .iter()
        .map(|(id, answer)| (id.as_str(), answer))
        .collect();
    let mut unanswered = 0;
    for line in &books.journal {
        let row = rows[&line.row];
        if row.outcome.reason().is_some() {
            unanswered += 1;
            continue;
        }
        match left.remove(&*line.audit_id) {
            Some(answer)
                if row.outcome.code() == Some(answer.code) && is_call(answer, &row.call) => {}
            Some(answer) => faults.push(format!(
                "{answer:?} is booked as {} {:?}",
                row.outcome, row.call
            )),
            // What the proxy says itself has no audit ID, and no code in the books.
            None => faults.push(format!(
                "{} {} is booked, but was never answered",
                row.outcome, line.audit_id
            )),
        }
    }
    let lost = u64::try_from(left.len()).unwrap();
    if lost > unanswered {
        faults.push(format!(
            "{lost} answers are not in the books, which miss {unanswered}"
        ));
    }
    if books.journal_lost > 0 || books.snapshot.overflowed > 0 {
        faults.push("the books overflowed".to_owned());
    }
    unanswered
}

fn is_call(answer: &Answered, call: &CallRecord) -> bool {
    let verb = match (answer.method.as_str(), answer.path.as_str()) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        (_, "/api/v1/pods") => "watch",
        (_, "/apis/apps/v1/deployments") => "list",
        _ => "get",
    };
    call.verb == verb && answer.path.contains(&format!("/{}", call.resource))
}
