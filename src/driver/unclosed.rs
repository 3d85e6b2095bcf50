//! Books that were opened and could not all be closed: what is kept of them.

use super::{
    at_once::ask_all,
    checks::LATE_CHECK,
    last_known::LastKnown,
    measure::{self, Opened},
    proxies::{ProxyClient, ProxyError},
    roster::{self, Roster},
};
use record::{BooksKept, Check, ProxyRun, RunDetailRecord, RunRecord, Snapshot};

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
                    last_known(proxy, opened, self.last.take(at), &error)
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
