//! The request log: what this server says was asked of it. It is the witness against which a count can be checked, so it
//! shares nothing with Kubetoll's own classification and books.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::requests::route::Route;

/// One request whose response head was sent, or whose client left before that.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedRequest {
    /// Counts from 1 in the order in which requests were answered.
    pub seq: u64,
    /// The `Audit-Id` response header; the client's own if it sent one.
    pub audit_id: String,
    /// Empty if the token was unknown.
    pub user: String,
    /// The program in the User-Agent, before the first `/`.
    pub user_agent: String,
    /// Kubernetes's verb; the method in lower case for a path that is no resource.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// API version, such as `v1`.
    pub version: String,
    /// Plural name; empty for a path that is no resource.
    pub resource: String,
    /// `status` for example.
    pub subresource: String,
    /// Empty at cluster scope.
    pub namespace: String,
    /// Empty for lists; for a create the name in the path, which is empty but for subresources.
    pub name: String,
    /// The path, percent-decoded, without query.
    pub path: String,
    /// HTTP status code; `None` if the client went away before the response head.
    pub code: Option<u16>,
    /// When the request head had been read, in seconds since the epoch.
    pub received: f64,
    /// When the response head was handed to the connection, or the client seen gone.
    pub answered: f64,
}

/// The log with its bound.
#[derive(Debug)]
pub(crate) struct RequestLog {
    records: Mutex<Vec<LoggedRequest>>,
    limit: usize,
    seen: AtomicU64,
}

impl RequestLog {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            records: Mutex::default(),
            limit,
            seen: AtomicU64::new(0),
        }
    }

    fn push(&self, mut record: LoggedRequest) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        record.seq = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        if records.len() < self.limit {
            records.push(record);
        }
    }

    /// The records from `seq` on.
    pub(crate) fn from(&self, seq: u64) -> Vec<LoggedRequest> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let first = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
        records.get(first..).unwrap_or_default().to_vec()
    }

    /// How many requests were answered, also those beyond the bound.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }
}

/// A request under way. Writes its record when it is answered, or when it is dropped before that.
#[derive(Debug)]
pub(crate) struct Pending {
    log: Arc<RequestLog>,
    record: LoggedRequest,
}

impl Pending {
    pub(crate) fn new(
        log: Arc<RequestLog>,
        route: &Route,
        audit_id: String,
        user_agent: String,
    ) -> Self {
        let route = route.clone();
        let record = LoggedRequest {
            seq: 0,
            audit_id,
            user: String::new(),
            user_agent,
            verb: route.verb,
            group: route.group,
            version: route.version,
            resource: route.resource,
            subresource: route.subresource,
            namespace: route.namespace,
            name: route.name,
            path: route.path,
            code: None,
            received: now(),
            answered: 0.0,
        };
        Self { log, record }
    }

    pub(crate) fn set_user(&mut self, name: &str) {
        name.clone_into(&mut self.record.user);
    }

    pub(crate) fn audit_id(&self) -> &str {
        &self.record.audit_id
    }

    pub(crate) fn answered(mut self, code: u16) {
        self.record.code = Some(code);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.record.answered = now();
        self.log.push(self.record.clone());
    }
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
