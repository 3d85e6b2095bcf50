//! Books that were opened and could not all be closed: what is kept of them.

use std::{io, path::Path};

use super::{
    at_once::ask_all,
    checks::LATE_CHECK,
    cleanup,
    last_known::LastKnown,
    measure::{self, Opened},
    proxies::{ProxyClient, ProxyError},
    roster::{self, Roster},
    spool::Contents,
};
use record::{
    BooksKept, Check, FailureReason, KnownBooks, ProxyRun, RowRecord, RunDetailRecord, RunFailure,
    RunRecord, Snapshot,
};

/// Books that not every proxy gave.
pub(super) struct Unclosed {
    pub(super) opened: Opened,
    /// What the proxies answered when the books were closed; empty before.
    pub(super) closed: Vec<Result<RunDetailRecord, ProxyError>>,
    pub(super) last: LastKnown,
}

impl Unclosed {
    /// Closes them where that has not been tried, and enters what each proxy gives, or else what was
    /// last known of it.
    pub(super) async fn enter(
        mut self,
        record: &mut RunRecord,
        proxies: &[ProxyClient],
        roster: Option<&dyn Roster>,
    ) -> BooksKept {
        if self.closed.is_empty() {
            self.closed = ask_all(proxies, |proxy| proxy.close_run(&self.opened.id)).await;
        }
        let mut books = BooksKept::Closed;
        let all = proxies.iter().zip(self.opened.proxies).zip(self.closed);
        for (at, ((proxy, opened), closed)) in all.enumerate() {
            let (run, checks) = match closed {
                Ok(closed) => measure::proxy_run(proxy, opened, closed),
                Err(error) => {
                    books = BooksKept::LastKnown;
                    let late = Late::new(&opened.1, self.last.take(at), self.last.journal);
                    let check = late.check(&opened.1, &error.to_string());
                    let (run, mut checks) = measure::proxy_run(proxy, opened, late.detail);
                    checks.push(check);
                    (run, checks)
                }
            };
            record.proxies.push(run);
            record.checks.extend(checks);
        }
        if let Some(roster) = roster {
            record.checks.push(roster::check_roster(roster).await);
        }
        books
    }
}

/// A proxy that gave nothing at the end: what is known of it, if that is the same process.
struct Late {
    detail: RunDetailRecord,
    is_known: bool,
    /// Whether it kept a journal.
    journal: bool,
}

impl Late {
    fn new(opened: &Snapshot, known: KnownBooks, journal: bool) -> Self {
        let is_known = known.snapshot.is_some();
        Self {
            detail: detail(opened, known),
            is_known,
            journal,
        }
    }

    /// Says until when its books are known, and how many of the requests have no line.
    fn check(&self, opened: &Snapshot, why: &str) -> Check {
        let snapshot = &self.detail.snapshot;
        let mut said = if self.is_known {
            format!(
                "{why}: the rows are what it had counted at {}",
                snapshot.taken
            )
        } else {
            format!("{why}: nothing is known of what it counted")
        };
        if self.journal && self.is_known {
            let rows = snapshot.since(opened).unwrap_or_default();
            let answered: u64 = rows.iter().map(|row| row.answered).sum();
            let missing = answered.saturating_sub(self.lines_of(&rows));
            said +=
                &format!("; {missing} of these {answered} requests have no line in the journal");
        }
        Check::new(LATE_CHECK, false, said)
    }

    fn lines_of(&self, rows: &[RowRecord]) -> u64 {
        let lines = self.detail.journal.iter();
        let counted = lines.filter(|line| rows.iter().any(|row| row.id == line.row));
        counted.count() as u64
    }
}

/// A run's detail by what is known of a proxy, whose books were opened with this snapshot.
pub(super) fn detail(opened: &Snapshot, mut known: KnownBooks) -> RunDetailRecord {
    RunDetailRecord {
        snapshot: known.snapshot.take().unwrap_or_else(|| opened.clone()),
        objects: Vec::new(),
        objects_lost: 0,
        journal_lost: 0,
        journal_lost_others: 0,
        clients: std::mem::take(&mut known.clients),
        journal: known.into_lines(),
    }
}

/// Closes the books of the deletion, and enters what each proxy gives, or else what is known of it.
///
/// # Errors
///
/// What the first proxy says that doesn't give them.
pub(super) async fn enter_deletion(
    record: &mut RunRecord,
    proxies: &[ProxyClient],
    id: &str,
    opened: &[Snapshot],
    mut last: LastKnown,
) -> Result<(), ProxyError> {
    let closed = ask_all(proxies, |proxy| proxy.close_run(id)).await;
    let all = record.proxies.iter_mut().zip(opened).zip(closed);
    let (mut checks, mut refusal) = (Vec::new(), None);
    for (at, ((run, opened), closed)) in all.enumerate() {
        let known = match closed {
            Ok(closed) => Some(closed),
            Err(error) => {
                let late = Late::new(opened, last.take(at), last.journal);
                checks.push(late.check(opened, &error.to_string()));
                refusal.get_or_insert(error);
                late.is_known.then_some(late.detail)
            }
        };
        if let Some(known) = known {
            checks.extend(cleanup::enter(run, opened, known));
        }
    }
    let checks = checks.into_iter().filter(|check| !check.ok);
    record.checks.extend(checks.map(cleanup::of_deletion));
    refusal.map_or(Ok(()), Err)
}

/// The record of a run by the file that its driver left, as when it was killed.
pub fn read_left(path: &Path) -> io::Result<RunRecord> {
    let Contents {
        mut run,
        known,
        deletion,
    } = Contents::read(path)?;
    let (opened_again, known_of_deletion) = deletion.unwrap_or_default();
    let mut deletions = opened_again.into_iter().zip(known_of_deletion);
    let mut checks = Vec::new();
    for (proxy, known) in run.proxies.iter_mut().zip(known) {
        let admin = &proxy.admin;
        let why = format!("{admin}: the driver ended before it wrote the run's record");
        enter_left(proxy, known, &mut checks, &why);
        if let Some((opened, known)) = deletions.next() {
            let late = Late::new(&opened, known, true);
            checks.push(cleanup::of_deletion(late.check(&opened, &why)));
            if late.is_known {
                cleanup::enter(proxy, &opened, late.detail);
            }
        }
    }
    let taken = run.proxies.iter().map(|proxy| proxy.closed.snapshot.taken);
    run.finished = taken.max().unwrap_or(run.started);
    run.checks.extend(checks);
    run.fail(RunFailure {
        reason: FailureReason::DriverEnded,
        detail: format!(
            "what its proxies had given until then is in {}",
            path.display()
        ),
        books: BooksKept::LastKnown,
        not_running: None,
    });
    Ok(run)
}

fn enter_left(proxy: &mut ProxyRun, known: KnownBooks, checks: &mut Vec<Check>, why: &str) {
    let opened = &proxy.opened;
    let late = Late::new(opened, known, true);
    checks.push(late.check(opened, why));
    proxy.closed = late.detail;
    proxy.difference = proxy.closed.snapshot.since(opened).unwrap_or_default();
}
