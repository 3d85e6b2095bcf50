//! A request of a run, whatever told of it.

use std::{cmp::Ordering, fmt};

use record::{
    CallRecord, ClientRecord, ObjectSeen, QueryRecord, SentRecord, StatusRecord, WatchRecord,
};

/// One request. Times are in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Whether it was made before the run: it is counted nowhere, and only what it began is of use,
    /// such as a watch that was still open.
    pub is_before: bool,
    /// Tells processes of the same component apart: the number of the proxy, or one that an audit log
    /// gives to each.
    pub instance: u32,
    /// The component.
    pub component: &'a str,
    /// The user; empty where it is not known.
    pub user: &'a str,
    /// What was called.
    pub call: &'a CallRecord,
    /// The code, or why there is none.
    pub answer: Answer<'a>,
    /// When its head was read.
    pub begun: i64,
    /// When the head of its response came.
    pub answered: i64,
    /// When its response ended; nothing while it goes on.
    pub ended: Option<i64>,
    /// The namespace that it names; empty for none.
    pub namespace: &'a str,
    /// The name that it names, or of a create the name that the response has; empty for none.
    pub name: &'a str,
    /// The API server's audit ID; empty where it is not known.
    pub audit_id: &'a str,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// The connection's number at that proxy, from 1; 0 where it is not known.
    pub connection: u64,
    /// The program that sent it.
    pub client: Option<&'a ClientRecord>,
    /// The options of a get, list or watch; nothing where they are not known.
    pub query: Option<&'a QueryRecord>,
    /// What its body said.
    pub sent: Option<&'a SentRecord>,
    /// The object of the response.
    pub object: Option<&'a ObjectSeen>,
    /// What a failure's `Status` said.
    pub failure: Option<&'a StatusRecord>,
    /// What a watch delivered.
    pub watch: Option<&'a WatchRecord>,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// How often the proxy sent it again.
    pub repeats: u32,
    /// Whether the response had a warning.
    pub warned: bool,
    /// What of this its source could tell.
    pub known: Known,
}

/// What the source of a request could tell of it. Where it could not, that there is nothing is no
/// sign of anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// What the request's body said.
    pub sent: bool,
    /// The response's object, or that it had none.
    pub object: bool,
    /// The bytes of the bodies.
    pub bytes: bool,
}

impl Known {
    /// All of it.
    pub const ALL: Self = Self {
        sent: true,
        object: true,
        bytes: true,
    };
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer<'a> {
    /// By a response with this code.
    Code(u16),
    /// By none, and why.
    None(&'a str),
}

impl Answer<'_> {
    /// Whether the API server did what was asked.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Code(200..300))
    }

    /// Whether it is a code from 400 on, or none.
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Code(..400))
    }
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code}"),
            Self::None(reason) => f.write_str(reason),
        }
    }
}

impl<'a> Request<'a> {
    /// Of which nothing is known but the call and its answer.
    pub fn bare(call: &'a CallRecord, answer: Answer<'a>) -> Self {
        Self {
            is_before: false,
            instance: 0,
            component: "",
            user: "",
            call,
            answer,
            begun: 0,
            answered: 0,
            ended: None,
            namespace: "",
            name: "",
            audit_id: "",
            request_bytes: 0,
            response_bytes: 0,
            connection: 0,
            client: None,
            query: None,
            sent: None,
            object: None,
            failure: None,
            watch: None,
            dry_run: false,
            repeats: 0,
            warned: false,
            known: Known::default(),
        }
    }

    pub(crate) fn verb(&self) -> &'a str {
        &self.call.verb
    }

    /// The version that the response's object or list has; empty where it is not known.
    pub(crate) fn version(&self) -> &'a str {
        self.object.map_or("", |object| &object.resource_version)
    }

    /// The version that the object had to have; empty for any.
    pub(crate) fn sent_version(&self) -> &'a str {
        self.sent.map_or("", |sent| &sent.resource_version)
    }

    /// Whether the object of the response is gone with it, as when a write takes the last finalizer off
    /// an object that is being deleted.
    pub(crate) fn is_removal(&self) -> bool {
        self.object.is_some_and(|object| object.is_removed)
    }

    /// Whether it wrote, or tried to write, what is kept in etcd.
    pub(crate) fn is_write(&self) -> bool {
        let writes = matches!(
            self.verb(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        );
        let connects = matches!(
            &*self.call.subresource,
            "attach" | "exec" | "log" | "portforward" | "proxy" | "token"
        );
        writes && !connects && !self.dry_run && !self.call.resource.is_empty()
    }

    /// The kind that it asked for in the place of the objects' own, also where it asked for a list of
    /// that kind; empty for none.
    pub(crate) fn as_kind(&self) -> &'a str {
        let kind = self.query.map_or("", |query| &*query.as_kind);
        kind.strip_suffix("List").unwrap_or(kind)
    }

    /// Whether it is a list, or a watch that begins like one.
    pub(crate) fn is_list(&self) -> bool {
        match self.verb() {
            "list" => !self.query.is_some_and(|query| query.is_continued),
            "watch" => self.query.is_some_and(|query| query.initial_events),
            _ => false,
        }
    }

    /// The order of time. What it says of equal times has no meaning, but that it is always the same,
    /// so that nothing depends on the order in which requests were handed in.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let time = |of: &Self| (of.answered, of.begun, of.ended);
        time(self)
            .cmp(&time(other))
            .then_with(|| self.who().cmp(&other.who()))
            .then_with(|| self.what().cmp(&other.what()))
            .then_with(|| self.told().cmp(&other.told()))
            .then_with(|| self.asked().cmp(&other.asked()))
            .then_with(|| self.why().cmp(&other.why()))
    }

    fn who(&self) -> impl Ord {
        let sender = (self.is_before, self.instance, self.component, self.user);
        (sender, self.connection, self.audit_id)
    }

    fn what(&self) -> impl Ord {
        let object = (self.namespace, self.name);
        let bytes = (self.request_bytes, self.response_bytes);
        (self.call, self.answer, object, bytes)
    }

    fn told(&self) -> impl Ord {
        let object = self
            .object
            .map(|object| (&object.resource_version, &object.uid, &object.name));
        let watch = self.watch.map(|watch| (watch.errors, &watch.ended_by));
        (object, watch, self.warned)
    }

    fn asked(&self) -> impl Ord {
        let sent = self
            .sent
            .map(|sent| (&sent.resource_version, &sent.paths, &sent.tests, sent.more));
        let query = self.query.map(|query| {
            let selectors = (&query.label_keys, &query.field_keys, &query.as_kind);
            let pages = (&query.resource_version, query.limit, query.is_continued);
            (
                selectors,
                pages,
                query.timeout_seconds,
                query.initial_events,
            )
        });
        (sent, query, self.dry_run)
    }

    fn why(&self) -> impl Ord {
        self.failure.map(|failure| {
            let causes = failure.causes.iter();
            let causes: Vec<_> = causes.map(|one| (&one.reason, &one.field)).collect();
            let level = (&failure.flow_schema, &failure.priority_level);
            (&failure.reason, causes, level)
        })
    }
}
