//! One instant of a proxy's books, as its admin port gives it out.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ClientRecord, JournalRecord, Outcome, WatchEvents};
use classify::CallName;
pub use ledger::{UNAUTHENTICATED, UNPROVEN};
pub use recorder::kept_audit_id;

/// The schema's name and version.
const SCHEMA: &str = "kubetoll.snapshot/1";

/// One instant of a proxy's books.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `kubetoll.snapshot/1`.
    pub schema: String,
    /// Which proxy, and since when it counts.
    pub proxy: ProxyInfo,
    /// When it was taken, by the proxy's clock.
    pub taken: Timestamp,
    /// Requests that the full books could not tell apart: counted in the overflow row, or for the
    /// component `(other)`. A run in which this grew is not valid.
    pub overflowed: u64,
    /// Requests that were answered, by component, user, call and outcome; the counts are since the
    /// process started.
    pub rows: Vec<RowRecord>,
    /// Requests that were opened and closed, by call; the difference is in flight.
    pub calls: Vec<InFlight>,
    /// The events that watches have delivered, since the process started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watches: Vec<WatchEvents>,
}

/// Which proxy, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyInfo {
    /// Random for each process: another one means that the counts started at 0 again.
    pub instance: String,
    /// When the process started.
    pub started: Timestamp,
    /// The proxy's version.
    pub version: String,
    /// The component that all requests are counted for, if it was given.
    pub component: Option<String>,
    /// The API server's URL.
    pub upstream: String,
}

/// What a request is counted as.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallRecord {
    /// kube-apiserver's verb.
    pub verb: String,
    /// API group, empty for the core group.
    pub group: String,
    /// API version, such as `v1`; empty for a non-resource request.
    pub version: String,
    /// Plural resource; empty for a non-resource request.
    pub resource: String,
    /// Subresource, such as `status`; empty if there is none.
    pub subresource: String,
    /// Class of the path of a non-resource request, such as `/version`; empty for resources.
    pub path: String,
    /// Verb by KubeVirt's client metric.
    pub kubevirt_verb: String,
    /// Resource by KubeVirt's client metric.
    pub kubevirt_resource: String,
}

/// A row of the books.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowRecord {
    /// Stable for the life of the process.
    pub id: u32,
    /// Component for display; `(unauthenticated)` and `(unproven)` where no answer of the API server
    /// says whose request it was.
    pub component: String,
    /// The user, empty if the API server didn't accept one, or is not known to have.
    pub user: String,
    /// What was called.
    #[serde(flatten)]
    pub call: CallRecord,
    /// The status code, or why no response came.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Requests answered: the comparable count.
    pub answered: u64,
    /// Of these, requests whose response has ended.
    pub closed: u64,
    /// Of these, requests whose response was cut short by a failure or by the client.
    pub cut_short: u64,
    /// Bytes of request bodies, as the client sent them.
    pub request_bytes: u64,
    /// Bytes of response bodies, as they went to the client.
    pub response_bytes: u64,
    /// Time from the request's head to the response's.
    pub to_head: Durations,
    /// Time from the request's head to the end of the response.
    pub to_end: Durations,
}

/// Durations by bucket, not cumulated; the bounds are in docs/FORMATS.md.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Durations {
    /// One count per bound, and one for what is longer.
    pub buckets: Vec<u64>,
    /// Sum of all durations in seconds.
    pub sum_seconds: f64,
}

/// What is in flight of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// What was called.
    #[serde(flatten)]
    pub call: CallRecord,
    /// Requests opened; a request that is answered may move to another call.
    pub opened: u64,
    /// Requests closed: answered to the end, or given up.
    pub closed: u64,
    /// Whether these are requests of clients that no answer has authenticated, by coarse names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub folded: bool,
}

/// The header of the admin port's token, beside `Authorization`: for who comes through the API
/// server's pod proxy, which takes that one for itself.
pub const ADMIN_TOKEN_HEADER: &str = "kubetoll-admin-token";

/// What a driver asks of a proxy when it opens a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRun {
    /// Keep one line per request with its audit ID.
    #[serde(default)]
    pub journal: bool,
    /// Seconds after which the proxy forgets a run that nobody asked for; 0 for its default.
    #[serde(default)]
    pub lease_seconds: u64,
    /// Room for so many pairs of row and object; without it, the proxy's default. Older proxies
    /// don't know it and refuse the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<u64>,
}

/// A run that is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunProgress {
    /// The books at the time of the question.
    pub snapshot: Snapshot,
    /// The run's requests that named the namespace asked for.
    pub in_namespace: u64,
}

/// A closed run: the snapshot of that instant and what was kept since it was opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDetailRecord {
    /// The books when the run was closed.
    pub snapshot: Snapshot,
    /// Requests by row and object.
    pub objects: Vec<ObjectRecord>,
    /// Requests whose object is not among them, because there were too many.
    pub objects_lost: u64,
    /// One line per request, if it was asked for.
    pub journal: Vec<JournalRecord>,
    /// Requests of authenticated clients that have no line, because there were too many.
    pub journal_lost: u64,
    /// Other requests that have no line, because there were too many of these.
    #[serde(default)]
    pub journal_lost_others: u64,
    /// The programs that the journal's lines name by their place here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientRecord>,
}

/// The last requests that a proxy keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecentRequests {
    /// The books, whose rows the lines name.
    pub snapshot: Snapshot,
    /// A line for each, the oldest first.
    pub journal: Vec<JournalRecord>,
    /// The programs that the lines name by their place here.
    pub clients: Vec<ClientRecord>,
}

impl RecentRequests {
    /// These lines, which name clients by their places.
    pub fn new(
        snapshot: Snapshot,
        lines: &[Arc<recorder::Line>],
        clients: Vec<recorder::Client>,
    ) -> Self {
        Self {
            snapshot,
            journal: lines
                .iter()
                .map(|line| JournalRecord::from(&**line))
                .collect(),
            clients: clients.into_iter().map(ClientRecord::from).collect(),
        }
    }
}

/// How often a row's requests named an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// [`RowRecord::id`] of the row that counts them.
    pub row: u32,
    /// The object's namespace; empty for what has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The object's name; empty for requests that name none, such as a list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Requests answered that named the object.
    pub count: u64,
}

/// Two snapshots that have no difference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotComparable {
    /// The process was started again in between.
    #[error("the proxy was restarted between the two snapshots: its counts began at 0 again")]
    Restarted,
    /// A count went down.
    #[error("row {0} counts less than it did before")]
    WentDown(u32),
}

impl Snapshot {
    /// The books of `proxy` as they were at `taken`.
    pub fn new(proxy: ProxyInfo, taken: Timestamp, books: ledger::Snapshot) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            proxy,
            taken,
            overflowed: books.overflowed,
            rows: books.rows.into_iter().map(RowRecord::from).collect(),
            calls: books.calls.into_iter().map(InFlight::from).collect(),
            watches: books.events.iter().map(WatchEvents::from).collect(),
        }
    }

    /// What was counted since `earlier`: its rows with the differences; rows without one are left
    /// out.
    ///
    /// # Errors
    /// If the proxy was restarted in between, or a count went down.
    pub fn since(&self, earlier: &Self) -> Result<Vec<RowRecord>, NotComparable> {
        if self.proxy.instance != earlier.proxy.instance {
            return Err(NotComparable::Restarted);
        }
        let before: BTreeMap<u32, &RowRecord> =
            earlier.rows.iter().map(|row| (row.id, row)).collect();
        self.rows
            .iter()
            .map(|row| match before.get(&row.id) {
                Some(before) => row.less(before),
                None => Ok(row.clone()),
            })
            .filter(|row| !matches!(row, Ok(row) if row.answered == 0 && row.closed == 0))
            .collect()
    }

    /// Requests in flight of clients that the API server has authenticated, but for watches. Others
    /// could keep some open for ever.
    pub fn in_flight_but_watches(&self) -> u64 {
        self.calls
            .iter()
            .filter(|call| call.call.verb != "watch" && !call.folded)
            .map(|call| call.opened - call.closed)
            .sum()
    }
}

impl RowRecord {
    /// Whether nothing says whose requests these are.
    pub fn is_nobodys(&self) -> bool {
        [UNAUTHENTICATED, UNPROVEN].contains(&self.component.as_str())
    }

    /// Whether the API server said that it did what was asked.
    pub fn is_success(&self) -> bool {
        self.outcome.is_success()
    }

    fn less(&self, before: &Self) -> Result<Self, NotComparable> {
        let less = |now: u64, then: u64| {
            now.checked_sub(then)
                .ok_or(NotComparable::WentDown(self.id))
        };
        Ok(Self {
            answered: less(self.answered, before.answered)?,
            closed: less(self.closed, before.closed)?,
            cut_short: less(self.cut_short, before.cut_short)?,
            request_bytes: less(self.request_bytes, before.request_bytes)?,
            response_bytes: less(self.response_bytes, before.response_bytes)?,
            to_head: self.to_head.less(&before.to_head),
            to_end: self.to_end.less(&before.to_end),
            ..self.clone()
        })
    }
}

impl Durations {
    fn less(&self, before: &Self) -> Self {
        let pairs = self.buckets.iter().zip(&before.buckets);
        Self {
            buckets: pairs.map(|(now, then)| now.saturating_sub(*then)).collect(),
            sum_seconds: (self.sum_seconds - before.sum_seconds).max(0.0),
        }
    }
}

impl CallRecord {
    /// KubeVirt's name form, such as `PATCH-pods`.
    pub fn key(&self) -> String {
        format!("{}-{}", self.kubevirt_verb, self.kubevirt_resource)
    }

    /// The call's name.
    pub fn name(&self) -> CallName<'_> {
        CallName {
            verb: &self.verb,
            group: &self.group,
            version: &self.version,
            resource: &self.resource,
            subresource: &self.subresource,
            path: &self.path,
            kubevirt_verb: &self.kubevirt_verb,
            kubevirt_resource: &self.kubevirt_resource,
        }
    }
}

impl From<CallName<'_>> for CallRecord {
    fn from(name: CallName<'_>) -> Self {
        Self {
            verb: name.verb.to_owned(),
            group: name.group.to_owned(),
            version: name.version.to_owned(),
            resource: name.resource.to_owned(),
            subresource: name.subresource.to_owned(),
            path: name.path.to_owned(),
            kubevirt_verb: name.kubevirt_verb.to_owned(),
            kubevirt_resource: name.kubevirt_resource.to_owned(),
        }
    }
}

impl From<ledger::RowCount> for RowRecord {
    fn from(row: ledger::RowCount) -> Self {
        Self {
            call: row.name().into(),
            id: row.id,
            component: row.component,
            user: row.user,
            outcome: row.outcome.into(),
            answered: row.answered,
            closed: row.closed,
            cut_short: row.cut_short,
            request_bytes: row.request_bytes,
            response_bytes: row.response_bytes,
            to_head: row.to_head.into(),
            to_end: row.to_end.into(),
        }
    }
}

impl From<ledger::Histogram> for Durations {
    fn from(histogram: ledger::Histogram) -> Self {
        Self {
            buckets: histogram.buckets.into(),
            sum_seconds: histogram.sum_seconds,
        }
    }
}

impl From<ledger::CallCount> for InFlight {
    fn from(count: ledger::CallCount) -> Self {
        Self {
            call: count.name().into(),
            opened: count.opened,
            closed: count.closed,
            folded: count.folded,
        }
    }
}

impl RunDetailRecord {
    /// What the books kept for a run, whose journal names clients by their places.
    pub fn new(
        snapshot: Snapshot,
        detail: ledger::RunDetail,
        clients: Vec<recorder::Client>,
    ) -> Self {
        let objects = detail.objects.into_iter().map(|count| ObjectRecord {
            row: count.row,
            namespace: count.object.namespace.into(),
            name: count.object.name.into(),
            count: count.count,
        });
        let journal = detail.journal.iter();
        Self {
            snapshot,
            objects: objects.collect(),
            objects_lost: detail.objects_lost,
            journal: journal.map(|line| JournalRecord::from(&**line)).collect(),
            journal_lost: detail.journal_lost,
            journal_lost_others: detail.journal_lost_others,
            clients: clients.into_iter().map(ClientRecord::from).collect(),
        }
    }
}
