//! The books of running proxies around anything.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    at_once::ask_all,
    checks,
    error::RunError,
    last_known::LastKnown,
    proxies::{ProxyClient, ProxyError},
    roster::{self, Roster},
    salvage::failure,
    settle::{Settled, settle},
    spool::Spool,
    unclosed::{Unclosed, detail},
};
use record::{
    Check, ClusterRecord, KnownBooks, OpenRun, ProxyRun, RUN_SCHEMA, RunDetailRecord, RunRecord,
    Snapshot,
};

/// How often a proxy is asked to close a run, with a pause in between.
const CLOSE_TRIES: u32 = 3;
const CLOSE_PAUSE: Duration = Duration::from_secs(1);

/// What is measured and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The id under which the proxies count it: letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// What it is, for the record.
    pub scenario: String,
    /// The namespace whose calls are the run's own; empty if unknown.
    pub namespace: String,
    /// Whether audit IDs are recorded.
    pub journal: bool,
    /// Room for so many pairs of row and object, if that is more than a proxy has by itself.
    pub pairs: Option<u64>,
    /// How long a proxy keeps the run without being asked.
    pub lease: Duration,
    /// How long nothing may go on before the books are closed.
    pub silence: Duration,
    /// Longest wait for that.
    pub settle_longest: Duration,
}

/// Open books. Kept in a file between `measure start` and `measure stop`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Opened {
    /// The id under which the proxies count it.
    pub id: String,
    /// When they were opened.
    pub started: Timestamp,
    /// The namespace whose calls are the run's own; empty if unknown.
    pub namespace: String,
    /// Admin URL and snapshot of each proxy.
    pub proxies: Vec<(String, Snapshot)>,
}

/// Opens a run at every proxy; if one refuses, at none.
///
/// # Errors
///
/// What the first proxy says that refuses, in the proxies' order.
pub async fn open(plan: &Plan, proxies: &[ProxyClient]) -> Result<Opened, ProxyError> {
    let asked = OpenRun {
        journal: plan.journal,
        pairs: plan.pairs,
        lease_seconds: plan.lease.as_secs(),
    };
    let started = Timestamp::now();
    let answers = ask_all(proxies, |proxy| proxy.open_run(&plan.id, &asked)).await;
    let answered = proxies.iter().zip(&answers);
    let opened: Vec<ProxyClient> = answered
        .filter(|(_, answer)| answer.is_ok())
        .map(|(proxy, _)| proxy.clone())
        .collect();
    if opened.len() < proxies.len() {
        abandon(&plan.id, &opened).await;
    }
    let snapshots: Vec<Snapshot> = answers.into_iter().collect::<Result<_, _>>()?;
    let urls = proxies.iter().map(|proxy| proxy.url().to_owned());
    Ok(Opened {
        id: plan.id.clone(),
        started,
        namespace: plan.namespace.clone(),
        proxies: urls.zip(snapshots).collect(),
    })
}

/// Begins to keep what is known of books that have been opened, for [`NotClosed::salvaged`].
pub fn last_known(
    plan: &Plan,
    opened: &Opened,
    proxies: &[ProxyClient],
    spool: Option<&Spool>,
) -> LastKnown {
    let run = opened_record(plan, opened, proxies);
    LastKnown::begin(run, plan.journal, proxies, spool)
}

/// Closes a run whose counts nobody wants any more. A proxy that can't be reached keeps it until its
/// lease ends.
pub async fn abandon(id: &str, proxies: &[ProxyClient]) {
    let closed = ask_all(proxies, |proxy| proxy.close_run(id)).await;
    for error in closed.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a run stays open until its lease ends");
    }
}

/// Books that could not be closed at every proxy.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct NotClosed {
    /// What the first proxy says that can't be asked or has lost the run, in the proxies' order; or
    /// how the pods changed, if that explains it; or that nobody waits for them any more.
    pub cause: RunError,
    opened: Opened,
    closed: Vec<Result<RunDetailRecord, ProxyError>>,
}

/// Waits until nothing goes on, then closes the books. With a `roster` of the pods it is also
/// checked that they are what they were.
///
/// # Errors
///
/// Why not all of them were closed, with what there is of them.
pub async fn close(
    plan: &Plan,
    opened: Opened,
    proxies: &[ProxyClient],
    roster: Option<&dyn Roster>,
) -> Result<RunRecord, Box<NotClosed>> {
    close_unless_stopped(plan, opened, proxies, roster, &CancellationToken::new()).await
}

/// The same, but `stop` ends the wait, and the books are open then.
///
/// # Errors
///
/// As [`close`], and that it was stopped.
pub async fn close_unless_stopped(
    plan: &Plan,
    opened: Opened,
    proxies: &[ProxyClient],
    roster: Option<&dyn Roster>,
    stop: &CancellationToken,
) -> Result<RunRecord, Box<NotClosed>> {
    let settled = match stop.run_until_cancelled(settled(plan, proxies)).await {
        Some(Ok(settled)) => settled,
        Some(Err(error)) => return Err(not_closed(error, roster, opened, Vec::new()).await),
        None => return Err(NotClosed::interrupted(opened)),
    };
    let closed = close_each(&plan.id, proxies).await;
    let refusal = closed.iter().find_map(|closed| closed.as_ref().err());
    if let Some(error) = refusal.cloned() {
        return Err(not_closed(error, roster, opened, closed).await);
    }
    let closed = closed.into_iter().flatten().collect();
    let mut record = closed_record(plan, opened, proxies, &settled, closed);
    if let Some(roster) = roster {
        record.checks.push(roster::check_roster(roster).await);
    }
    Ok(record)
}

async fn not_closed(
    error: ProxyError,
    roster: Option<&dyn Roster>,
    opened: Opened,
    closed: Vec<Result<RunDetailRecord, ProxyError>>,
) -> Box<NotClosed> {
    let cause = roster::explain(error, roster).await.into();
    Box::new(NotClosed {
        cause,
        opened,
        closed,
    })
}

impl NotClosed {
    /// Books of which nobody waits for the end; they are still open.
    pub fn interrupted(opened: Opened) -> Box<Self> {
        Box::new(Self {
            cause: RunError::Interrupted,
            opened,
            closed: Vec::new(),
        })
    }

    /// The record of what there is, marked as failed: a proxy that gives nothing any more has what
    /// the last look showed. The books are closed where they are still open.
    pub async fn salvaged(
        self,
        plan: &Plan,
        proxies: &[ProxyClient],
        roster: Option<&dyn Roster>,
        last: LastKnown,
    ) -> RunRecord {
        let mut record = new_record(plan, self.opened.started);
        let unclosed = Unclosed {
            opened: self.opened,
            closed: self.closed,
            last,
        };
        let books = unclosed.enter(&mut record, proxies, roster).await;
        record.fail(failure(&self.cause, books));
        record.finished = Timestamp::now();
        record
    }
}

/// Waits until nothing goes on.
pub(super) async fn settled(plan: &Plan, proxies: &[ProxyClient]) -> Result<Settled, ProxyError> {
    let (silence, longest) = (plan.silence, plan.settle_longest);
    settle(proxies, &plan.id, &plan.namespace, silence, longest).await
}

/// Closes the run at each proxy, whatever the others answer.
pub(super) async fn close_each(
    run: &str,
    proxies: &[ProxyClient],
) -> Vec<Result<RunDetailRecord, ProxyError>> {
    ask_all(proxies, |proxy| close_at(proxy, run)).await
}

/// The record of a run whose books are closed.
pub(super) fn closed_record(
    plan: &Plan,
    opened: Opened,
    proxies: &[ProxyClient],
    settled: &Settled,
    closed: Vec<RunDetailRecord>,
) -> RunRecord {
    let mut record = new_record(plan, opened.started);
    record.checks.push(checks::settled(settled));
    for ((proxy, opened), closed) in proxies.iter().zip(opened.proxies).zip(closed) {
        let (run, checks) = proxy_run(proxy, opened, closed);
        record.proxies.push(run);
        record.checks.extend(checks);
    }
    record.finished = Timestamp::now();
    record
}

/// A record without books.
pub(super) fn new_record(plan: &Plan, started: Timestamp) -> RunRecord {
    RunRecord {
        schema: RUN_SCHEMA.to_owned(),
        id: plan.id.clone(),
        scenario: plan.scenario.clone(),
        simulated: false,
        kubetoll_version: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        finished: Timestamp::now(),
        cluster: ClusterRecord {
            namespace: plan.namespace.clone(),
            ..ClusterRecord::default()
        },
        configuration: BTreeMap::new(),
        proxies: Vec::new(),
        objects: Vec::new(),
        driver: Vec::new(),
        checks: Vec::new(),
        crosscheck: None,
        api_server: None,
        command: None,
        failure: None,
    }
}

/// The record of a run whose books have just been opened.
pub(super) fn opened_record(plan: &Plan, opened: &Opened, proxies: &[ProxyClient]) -> RunRecord {
    let mut record = new_record(plan, opened.started);
    for (proxy, opened) in proxies.iter().zip(&opened.proxies) {
        let nothing = detail(&opened.1, KnownBooks::default());
        record
            .proxies
            .push(proxy_run(proxy, opened.clone(), nothing).0);
    }
    record
}

/// Closes the run at a proxy. One that can't be reached is asked again: others have closed it by
/// then, and give what they counted only once.
async fn close_at(proxy: &ProxyClient, run: &str) -> Result<RunDetailRecord, ProxyError> {
    for _ in 1..CLOSE_TRIES {
        match proxy.close_run(run).await {
            Err(error) if !error.is_loss() => {
                tracing::debug!(%error, "asked again");
                sleep(CLOSE_PAUSE).await;
            }
            answer => return answer,
        }
    }
    proxy.close_run(run).await
}

/// What a proxy counted, by its URL and first snapshot and by what it gave when the run was closed.
pub(super) fn proxy_run(
    proxy: &ProxyClient,
    (url, opened): (String, Snapshot),
    closed: RunDetailRecord,
) -> (ProxyRun, Vec<Check>) {
    let (difference, checks) = checks::books(&url, &opened, &closed);
    let run = ProxyRun {
        admin: url,
        pod: proxy.pod().cloned(),
        baseline: None,
        opened,
        difference,
        closed,
        deletion: None,
    };
    (run, checks)
}
