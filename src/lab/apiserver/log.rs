//! The request log: what this server says was asked of it. It is the witness against which a count can be checked, so it
//! shares nothing with Kubetoll's own classification and books.

use std::collections::HashMap;
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
    words: Vec<Arc<str>>,
    /// Where each word is in `words`.
    places: HashMap<Arc<str>, u32>,
}

/// A record as it is kept; its place tells its number.
#[derive(Debug)]
struct Stored {
    /// User, user agent, verb, group, version, resource, subresource, namespace.
    words: [u32; 8],
    /// Audit ID, name and path in one text.
    own: Box<str>,
    /// Where the first two end.
    ends: [usize; 2],
    code: Option<u16>,
    received: f64,
    answered: f64,
}

/// How many records more there is room for when the room is used up: a part of those that are there, so that the log
/// does not take up to twice what it needs.
const GROWTH: (usize, usize) = (1024, 8);

impl Records {
    fn push(&mut self, record: LoggedRequest) {
        if self.stored.len() == self.stored.capacity() {
            let (least, part) = GROWTH;
            self.stored
                .reserve_exact(least.max(self.stored.len() / part));
        }
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
        let name_from = record.audit_id.len();
        let stored = Stored {
            words: words.map(|word| self.place(&word)),
            own: [record.audit_id, record.name.clone(), record.path]
                .concat()
                .into(),
            ends: [name_from, name_from + record.name.len()],
            code: record.code,
            received: record.received,
            answered: record.answered,
        };
        self.stored.push(stored);
    }

    /// Where a word is; it is put there if it is new.
    fn place(&mut self, word: &str) -> u32 {
        if let Some(known) = self.places.get(word) {
            return *known;
        }
        let new: Arc<str> = word.into();
        let place = u32::try_from(self.words.len()).expect("a log has fewer words than requests");
        self.words.push(new.clone());
        self.places.insert(new, place);
        place
    }

    /// The record at an index.
    fn record(&self, index: usize) -> LoggedRequest {
        let stored = &self.stored[index];
        let words = stored
            .words
            .map(|place| self.words[place as usize].to_string());
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
        let [name_from, path_from] = stored.ends;
        LoggedRequest {
            seq: index as u64 + 1,
            audit_id: stored.own[..name_from].to_owned(),
            user,
            user_agent,
            verb,
            group,
            version,
            resource,
            subresource,
            namespace,
            name: stored.own[name_from..path_from].to_owned(),
            path: stored.own[path_from..].to_owned(),
            code: stored.code,
            received: stored.received,
            answered: stored.answered,
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

    fn push(&self, record: LoggedRequest) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        self.seen.fetch_add(1, Ordering::Relaxed);
        if records.stored.len() < self.limit {
            records.push(record);
        }
    }

    /// What `read` makes of each record from `seq` on, one after the other.
    pub(crate) fn from<T>(&self, seq: u64, mut read: impl FnMut(LoggedRequest) -> T) -> Vec<T> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let first = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
        let wanted = first..records.stored.len();
        wanted.map(|index| read(records.record(index))).collect()
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
