//! The request log: what this server says was asked of it. It is the witness against which a count can be checked, so it
//! shares nothing with Kubetoll's own classification and books.

use std::collections::HashSet;
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
    /// The path, percent-decoded, without query; empty for a resource, which is named above.
    pub path: String,
    /// HTTP status code; `None` if the client went away before the response head.
    pub code: Option<u16>,
    /// When the request head had been read, in seconds since the epoch.
    pub received: f64,
    /// When the response head was handed to the connection, or the client seen gone.
    pub answered: f64,
}

/// The log with its bound. A run of thousands of objects makes hundreds of thousands of requests by few users of few
/// resources: such words are kept once.
#[derive(Debug)]
pub(crate) struct RequestLog {
    records: Mutex<Records>,
    limit: usize,
    seen: AtomicU64,
}

#[derive(Debug, Default)]
struct Records {
    stored: Vec<Stored>,
    words: HashSet<Arc<str>>,
}

/// A record as it is kept.
#[derive(Debug)]
struct Stored {
    seq: u64,
    audit_id: Box<str>,
    /// User, user agent, verb, group, version, resource, subresource, namespace.
    words: [Arc<str>; 8],
    name: Box<str>,
    path: Box<str>,
    code: Option<u16>,
    received: f64,
    answered: f64,
}

impl Records {
    fn push(&mut self, record: LoggedRequest) {
        let words = [
            record.user,
            record.user_agent,
            record.verb,
            record.group,
            record.version,
            record.resource,
            record.subresource,
            record.namespace,
        ];
        let stored = Stored {
            seq: record.seq,
            audit_id: record.audit_id.into(),
            words: words.map(|word| self.word(&word)),
            name: record.name.into(),
            path: record.path.into(),
            code: record.code,
            received: record.received,
            answered: record.answered,
        };
        self.stored.push(stored);
    }

    fn word(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return known.clone();
        }
        let new: Arc<str> = word.into();
        self.words.insert(new.clone());
        new
    }
}

impl Stored {
    fn record(&self) -> LoggedRequest {
        let words = self.words.each_ref().map(|word| word.to_string());
        let [
            user,
            user_agent,
            verb,
            group,
            version,
            resource,
            subresource,
            namespace,
        ] = words;
        LoggedRequest {
            seq: self.seq,
            audit_id: self.audit_id.to_string(),
            user,
            user_agent,
            verb,
            group,
            version,
            resource,
            subresource,
            namespace,
            name: self.name.to_string(),
            path: self.path.to_string(),
            code: self.code,
            received: self.received,
            answered: self.answered,
        }
    }
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
        if records.stored.len() < self.limit {
            records.push(record);
        }
    }

    /// What `read` makes of each record from `seq` on, one after the other.
    pub(crate) fn from<T>(&self, seq: u64, mut read: impl FnMut(LoggedRequest) -> T) -> Vec<T> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let first = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
        let stored = records.stored.get(first..).unwrap_or_default();
        stored.iter().map(|stored| read(stored.record())).collect()
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
        let path = if route.resource.is_empty() {
            route.path
        } else {
            String::new()
        };
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
            path,
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
