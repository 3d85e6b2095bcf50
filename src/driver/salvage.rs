//! What is kept of a run that ended early: the books so far, and what its objects wait for.

use jiff::Timestamp;

use super::{
    at_once::ask_all,
    checks::LATE_CHECK,
    context::Run,
    create::Created,
    error::{RunError, RunFailed},
    last_known::LastKnown,
    measure::{self, Opened},
    observe::Observer,
    proxies::{ProxyClient, ProxyError},
    roster,
    times::times,
};
use record::{
    BooksKept, Check, ProxyRun, RunDetailRecord, RunFailure, RunRecord, Snapshot, printable_line,
};

/// How far a run has come.
pub(super) struct SoFar {
    pub(super) observer: Observer,
    /// What was created; while the primer is under way, only that.
    pub(super) created: Vec<Created>,
    /// The books at the beginning of the baseline window.
    pub(super) before: Vec<Snapshot>,
    pub(super) opened: Option<Opened>,
    pub(super) last: LastKnown,
    /// What the proxies answered when the books were closed; empty before.
    pub(super) closed: Vec<Result<RunDetailRecord, ProxyError>>,
}

impl SoFar {
    pub(super) fn new(observer: Observer) -> Self {
        Self {
            observer,
            created: Vec::new(),
            before: Vec::new(),
            opened: None,
            last: LastKnown::default(),
            closed: Vec::new(),
        }
    }
}

impl Run<'_> {
    /// Closes the books of a run that ended early, and asks why its objects are not Running.
    pub(super) async fn salvaged(&self, cause: RunError, mut so_far: SoFar) -> RunFailed {
        let started = self.started;
        let mut record = measure::new_record(&self.measure_plan(), started);
        let books = self.books_so_far(&mut so_far, &mut record).await;
        let objects = so_far.observer.objects();
        let not_running = self.not_running(&so_far.created, &objects).await;
        record.objects = times(&so_far.created, &objects);
        self.describe(&mut record, so_far.before);
        let failure = RunFailure {
            not_running,
            ..failure(&cause, books)
        };
        record.fail(failure);
        RunFailed {
            cause,
            record: Some(Box::new(record)),
        }
    }

    async fn books_so_far(&self, so_far: &mut SoFar, record: &mut RunRecord) -> BooksKept {
        let proxies = &self.driver.proxies;
        let Some(opened) = so_far.opened.take() else {
            // A proxy may have opened them before the answer was read.
            measure::abandon(&self.id, proxies).await;
            return BooksKept::None;
        };
        let mut closed = std::mem::take(&mut so_far.closed);
        if closed.is_empty() {
            closed = ask_all(proxies, |proxy| proxy.close_run(&self.id)).await;
        }
        let mut books = BooksKept::Closed;
        let all = proxies.iter().zip(opened.proxies).zip(closed);
        for (at, ((proxy, opened), closed)) in all.enumerate() {
            let (run, checks) = match closed {
                Ok(closed) => measure::proxy_run(proxy, opened, closed),
                Err(error) => {
                    books = BooksKept::LastKnown;
                    last_known(proxy, opened, so_far.last.take(at), &error)
                }
            };
            record.proxies.push(run);
            record.checks.extend(checks);
        }
        if let Some(roster) = self.driver.roster {
            record.checks.push(roster::check_roster(roster).await);
        }
        books
    }

    /// Enters where and how the run took place.
    pub(super) fn describe(&self, record: &mut RunRecord, before: Vec<Snapshot>) {
        for (proxy, before) in record.proxies.iter_mut().zip(before) {
            proxy.baseline = Some(before);
        }
        record.started = self.started;
        record.finished = Timestamp::now();
        record.simulated = self.plan.simulated;
        record.cluster = self.cluster.clone();
        record.configuration = self.plan.recorded();
    }
}

/// Why a run ended, without what its objects wait for.
pub(super) fn failure(cause: &RunError, books: BooksKept) -> RunFailure {
    RunFailure {
        reason: cause.reason(),
        detail: printable_line(&cause.to_string()).into_owned(),
        books,
        not_running: None,
    }
}

/// A proxy that gave nothing at the end: what the last look showed, if that is the same process.
fn last_known(
    proxy: &ProxyClient,
    (url, opened): (String, Snapshot),
    last: Option<Snapshot>,
    error: &ProxyError,
) -> (ProxyRun, Vec<Check>) {
    let is_known = last.is_some();
    let snapshot = last.unwrap_or_else(|| opened.clone());
    let until = if is_known {
        format!("the rows are what it had counted at {}", snapshot.taken)
    } else {
        "nothing is known of what it counted".to_owned()
    };
    let closed = RunDetailRecord {
        snapshot,
        objects: Vec::new(),
        objects_lost: 0,
        journal: Vec::new(),
        journal_lost: 0,
        journal_lost_others: 0,
        clients: Vec::new(),
    };
    let (run, mut checks) = measure::proxy_run(proxy, (url, opened), closed);
    checks.push(Check::new(LATE_CHECK, false, format!("{error}: {until}")));
    (run, checks)
}
