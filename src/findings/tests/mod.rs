//! Findings of runs that are made by hand, and what holds for all runs.

mod comparing;
mod failing;
mod journal;
mod large;
mod objects;
mod properties;
mod reading;
mod unknown;
mod watching;
mod writing;

use record::{
    CallFinding, CallFindingKind, CallRecord, CauseSeen, ObjectSeen, QueryRecord, SentRecord,
    StatusRecord, WatchRecord,
};

use super::{Answer, Known, Request, findings};

/// What requests refer to lives as long as the tests.
fn kept<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// A request of virt-controller: `update virtualmachines/status`. It was answered so many
/// milliseconds after the beginning of the run, and took one.
fn made(at: i64, call: &str, name: &'static str, code: u16) -> Request<'static> {
    let (verb, resource) = call.split_once(' ').unwrap();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let call = CallRecord {
        verb: verb.to_owned(),
        group: "kubevirt.io".to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        ..CallRecord::default()
    };
    Request {
        component: "virt-controller",
        begun: (at - 1) * 1_000,
        answered: at * 1_000,
        ended: (verb != "watch").then_some(at * 1_000),
        namespace: "ns",
        name,
        request_bytes: 10,
        response_bytes: 1_000,
        connection: 1,
        query: matches!(verb, "get" | "list" | "watch").then(|| kept(QueryRecord::default())),
        known: Known::ALL,
        ..Request::bare(kept(call), Answer::Code(code))
    }
}

trait Made: Sized {
    /// By another component, behind a proxy of its own.
    fn by(self, component: &'static str) -> Self;
    fn in_process(self, instance: u32) -> Self;
    /// The version in the response.
    fn version(self, version: &str) -> Self;
    /// The object is gone with the response, which has its last version.
    fn removing(self, version: &str) -> Self;
    fn sent(self, version: &str) -> Self;
    fn patching(self, paths: &[&str], tests: &[&str]) -> Self;
    fn status(self, reason: &str, fields: &[&str]) -> Self;
    fn query(self, query: QueryRecord) -> Self;
    /// Nothing is known of the bodies, as of a request in an audit log of level Metadata.
    fn unread(self) -> Self;
    /// When a watch ended, in milliseconds after the beginning, and who ended it.
    fn ended(self, at: i64, by: &str) -> Self;
}

impl Made for Request<'static> {
    fn by(mut self, component: &'static str) -> Self {
        self.component = component;
        self.in_process(1)
    }

    fn in_process(mut self, instance: u32) -> Self {
        self.instance = instance;
        self
    }

    fn version(mut self, version: &str) -> Self {
        self.object = Some(kept(ObjectSeen {
            resource_version: version.to_owned(),
            ..ObjectSeen::default()
        }));
        self
    }

    fn removing(mut self, version: &str) -> Self {
        self.object = Some(kept(ObjectSeen {
            resource_version: version.to_owned(),
            is_removed: true,
            ..ObjectSeen::default()
        }));
        self
    }

    fn sent(mut self, version: &str) -> Self {
        self.sent = Some(kept(SentRecord {
            resource_version: version.to_owned(),
            ..SentRecord::default()
        }));
        self
    }

    fn patching(mut self, paths: &[&str], tests: &[&str]) -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        self.sent = Some(kept(SentRecord {
            paths: texts(paths),
            tests: texts(tests),
            ..SentRecord::default()
        }));
        self
    }

    fn status(mut self, reason: &str, fields: &[&str]) -> Self {
        let causes = fields.iter().map(|field| CauseSeen {
            reason: "FieldValueInvalid".to_owned(),
            field: (*field).to_owned(),
        });
        self.failure = Some(kept(StatusRecord {
            reason: reason.to_owned(),
            causes: causes.collect(),
            ..StatusRecord::default()
        }));
        self
    }

    fn query(mut self, query: QueryRecord) -> Self {
        self.query = Some(kept(query));
        self
    }

    fn unread(mut self) -> Self {
        (self.sent, self.object, self.known) = (None, None, Known::default());
        (self.request_bytes, self.response_bytes) = (0, 0);
        self
    }

    fn ended(mut self, at: i64, by: &str) -> Self {
        self.ended = Some(at * 1_000);
        self.watch = Some(kept(WatchRecord {
            ended_by: by.to_owned(),
            ..WatchRecord::default()
        }));
        self
    }
}

/// The findings of a kind: reason, calls, saved.
fn found(kind: CallFindingKind, requests: &[Request<'_>]) -> Vec<(String, u64, u64)> {
    let found = findings(requests, None).into_iter();
    found
        .filter(|finding| finding.kind == kind)
        .map(|finding| (finding.reason, finding.calls, finding.saved))
        .collect()
}

/// The only finding of a kind.
fn only(kind: CallFindingKind, requests: &[Request<'_>]) -> CallFinding {
    let found = findings(requests, None);
    let mut of_kind: Vec<_> = found.into_iter().filter(|one| one.kind == kind).collect();
    assert_eq!(of_kind.len(), 1, "{of_kind:#?}");
    of_kind.remove(0)
}

fn row(reason: &str, calls: u64, saved: u64) -> (String, u64, u64) {
    (reason.to_owned(), calls, saved)
}

fn none() -> Vec<(String, u64, u64)> {
    Vec::new()
}
