//! The books of running proxies around anything.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    proxies::{ProxyClient, ProxyError},
    roster::{self, Roster},
    settle::{Settled, settle},
};
use record::{
    Check, ClusterRecord, OpenRun, ProxyRun, RUN_SCHEMA, RowRecord, RunDetailRecord, RunRecord,
    Snapshot,
};

/// What is measured and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The run's id.
    pub id: String,
    /// What it is, for the record.
    pub scenario: String,
    /// The namespace whose calls are the run's own; empty if unknown.
    pub namespace: String,
    /// Whether audit IDs are recorded.
    pub journal: bool,
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
    /// The run's id.
    pub id: String,
    /// When they were opened.
    pub started: Timestamp,
    /// The namespace whose calls are the run's own; empty if unknown.
    pub namespace: String,
    /// Admin URL and snapshot of each proxy.
    pub proxies: Vec<(String, Snapshot)>,
}

/// Opens a run at every proxy; if one refuses, at none.
pub async fn open(plan: &Plan, proxies: &[ProxyClient]) -> Result<Opened, ProxyError> {
    let asked = OpenRun {
        journal: plan.journal,
        lease_seconds: plan.lease.as_secs(),
    };
    let started = Timestamp::now();
    let mut opened = Vec::new();
    for (at, proxy) in proxies.iter().enumerate() {
        match proxy.open_run(&plan.id, &asked).await {
            Ok(snapshot) => opened.push((proxy.url().to_owned(), snapshot)),
            Err(error) => {
                abandon(&plan.id, &proxies[..at]).await;
                return Err(error);
            }
        }
    }
    Ok(Opened {
        id: plan.id.clone(),
        started,
        namespace: plan.namespace.clone(),
        proxies: opened,
    })
}

/// Closes a run whose counts nobody wants any more.
pub async fn abandon(id: &str, proxies: &[ProxyClient]) {
    for proxy in proxies {
        if let Err(error) = proxy.close_run(id).await {
            tracing::debug!(%error, "a run stays open until its lease ends");
        }
    }
}

/// Waits until nothing goes on, then closes the books. With a `roster` of the pods it is also
/// checked that they are what they were.
pub async fn close(
    plan: &Plan,
    opened: Opened,
    proxies: &[ProxyClient],
    roster: Option<&dyn Roster>,
) -> Result<RunRecord, ProxyError> {
    match close_all(plan, opened, proxies).await {
        Ok(mut record) => {
            if let Some(roster) = roster {
                record.checks.push(roster::check_roster(roster).await);
            }
            Ok(record)
        }
        Err(error) => Err(roster::explain(error, roster).await),
    }
}

async fn close_all(
    plan: &Plan,
    opened: Opened,
    proxies: &[ProxyClient],
) -> Result<RunRecord, ProxyError> {
    let settled = settle(
        proxies,
        &plan.id,
        &plan.namespace,
        plan.silence,
        plan.settle_longest,
    )
    .await?;
    let mut record = RunRecord {
        schema: RUN_SCHEMA.to_owned(),
        id: plan.id.clone(),
        scenario: plan.scenario.clone(),
        simulated: false,
        kubetoll_version: env!("CARGO_PKG_VERSION").to_owned(),
        started: opened.started,
        finished: Timestamp::now(),
        cluster: ClusterRecord {
            namespace: plan.namespace.clone(),
            ..ClusterRecord::default()
        },
        configuration: BTreeMap::new(),
        proxies: Vec::new(),
        objects: Vec::new(),
        driver: Vec::new(),
        checks: vec![check_settled(&settled)],
        crosscheck: None,
    };
    for (proxy, (url, before)) in proxies.iter().zip(opened.proxies) {
        let (run, checks) = close_one(proxy, &plan.id, url, before).await?;
        record.proxies.push(run);
        record.checks.extend(checks);
    }
    record.finished = Timestamp::now();
    Ok(record)
}

async fn close_one(
    proxy: &ProxyClient,
    id: &str,
    url: String,
    opened: Snapshot,
) -> Result<(ProxyRun, Vec<Check>), ProxyError> {
    let closed = proxy.close_run(id).await?;
    let (difference, checks) = check_books(&url, &opened, &closed);
    let run = ProxyRun {
        admin: url,
        pod: proxy.pod().cloned(),
        baseline: None,
        opened,
        difference,
        closed,
        deletion: None,
    };
    Ok((run, checks))
}

/// What was counted between two snapshots of a proxy, and whether all of it is there.
pub(super) fn check_books(
    url: &str,
    opened: &Snapshot,
    closed: &RunDetailRecord,
) -> (Vec<RowRecord>, Vec<Check>) {
    let difference = closed.snapshot.since(opened);
    let overflowed = closed.snapshot.overflowed.saturating_sub(opened.overflowed);
    let (objects, journal) = (closed.objects_lost, closed.journal_lost);
    let checks = vec![
        Check::new(
            "the proxy was not restarted",
            difference.is_ok(),
            match &difference {
                Ok(_) => format!("{url} has counted since {}", opened.proxy.started),
                Err(error) => format!("{url}: {error}"),
            },
        ),
        Check::new(
            "the books did not overflow",
            overflowed == 0 && objects == 0 && journal == 0,
            format!(
                "{url}: {overflowed} requests in the overflow row, {objects} without their \
                 object, {journal} without their journal line"
            ),
        ),
    ];
    (difference.unwrap_or_default(), checks)
}

fn check_settled(settled: &Settled) -> Check {
    let detail = match settled {
        Settled::Silent => "nothing but watches in flight, and silence".to_owned(),
        Settled::TimedOut { in_flight } => {
            format!("calls still came when the time was over, {in_flight} in flight")
        }
    };
    Check::new("the run came to rest", *settled == Settled::Silent, detail)
}
