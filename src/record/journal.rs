//! The journal of a run: one line per request, as a proxy saw it pass. No line has a value of an
//! object's fields, of a selector or of a header that isn't named here.

use serde::{Deserialize, Serialize};

use super::{CallRecord, Outcome, RowRecord, is_default};
use classify::RequestOptions;
use recorder::{Asked, End, Line, Seen, Unread, Watched};

/// One request of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalRecord {
    /// [`RowRecord::id`](super::RowRecord::id) of the row that counts it: component, user, call, code.
    pub row: u32,
    /// When it was answered, in microseconds since 1970.
    pub at: i64,
    /// The API server's `Audit-Id`, empty where no response came.
    pub audit_id: String,
    /// From the request's head to the response's, in microseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub head_us: u64,
    /// From the request's head to the end of the response, in microseconds; nothing where it had not
    /// ended as the books were closed.
    #[serde(skip_serializing_if = "is_default")]
    pub end_us: Option<u64>,
    /// Whether the response was cut short by a failure or by the client.
    #[serde(skip_serializing_if = "is_default")]
    pub cut_short: bool,
    /// The namespace that the request names; empty for none.
    #[serde(skip_serializing_if = "is_default")]
    pub namespace: String,
    /// The name that the request names; empty for none, as in a list or a create.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Bytes of the request's body.
    #[serde(skip_serializing_if = "is_default")]
    pub request_bytes: u64,
    /// Bytes of the response's body.
    #[serde(skip_serializing_if = "is_default")]
    pub response_bytes: u64,
    /// The number of the client's connection, counted by the proxy from 1.
    #[serde(skip_serializing_if = "is_default")]
    pub connection: u64,
    /// Which request of its connection it was, from 1.
    #[serde(skip_serializing_if = "is_default")]
    pub stream: u64,
    /// Which of the detail's [`clients`](super::RunDetailRecord::clients) sent it.
    #[serde(skip_serializing_if = "is_default")]
    pub client: u32,
    /// How often the proxy sent it again after the API server had said that it never looked at it.
    #[serde(skip_serializing_if = "is_default")]
    pub repeats: u32,
    /// Media type of the request's body, without parameters.
    #[serde(skip_serializing_if = "is_default")]
    pub content_type: String,
    /// `fieldManager` of the query.
    #[serde(skip_serializing_if = "is_default")]
    pub field_manager: String,
    /// Whether it was a dry run.
    #[serde(skip_serializing_if = "is_default")]
    pub dry_run: bool,
    /// Whether the response had a warning (`Warning: 299`): a deprecated API, most often.
    #[serde(skip_serializing_if = "is_default")]
    pub warned: bool,
    /// The options of a get, list or watch, if it had any.
    #[serde(skip_serializing_if = "is_default")]
    pub query: Option<Box<QueryRecord>>,
    /// What the request's body said.
    #[serde(skip_serializing_if = "is_default")]
    pub sent: Option<Box<SentRecord>>,
    /// The object of the response.
    #[serde(skip_serializing_if = "is_default")]
    pub object: Option<Box<ObjectSeen>>,
    /// What a failure's `Status` said, and who refused it.
    #[serde(skip_serializing_if = "is_default")]
    pub failure: Option<Box<StatusRecord>>,
    /// What a watch delivered.
    #[serde(skip_serializing_if = "is_default")]
    pub watch: Option<Box<WatchRecord>>,
    /// Why a body that could have told more was not read: `compressed`, `cbor`, `unknown_form`,
    /// `never` (asked for), `malformed`; empty where all was read.
    #[serde(skip_serializing_if = "is_default")]
    pub unread: String,
}

/// A program behind a proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientRecord {
    /// Its `User-Agent`, 256 bytes at most.
    pub user_agent: String,
    /// The user that it acts as (`Impersonate-User`), if it does.
    #[serde(skip_serializing_if = "is_default")]
    pub impersonated: String,
}

/// A line of a journal by itself, with the names that its row has.
#[derive(Debug, Serialize)]
pub struct JournalLine<'r> {
    /// Admin address of the proxy.
    proxy: &'r str,
    component: &'r str,
    user: &'r str,
    #[serde(flatten)]
    call: &'r CallRecord,
    #[serde(flatten)]
    outcome: &'r Outcome,
    user_agent: &'r str,
    #[serde(skip_serializing_if = "str::is_empty")]
    impersonated: &'r str,
    #[serde(flatten)]
    line: &'r JournalRecord,
}

impl<'r> JournalLine<'r> {
    /// A line of the journal of the proxy with this admin address, with its row and its client, if
    /// that is known.
    pub fn new(
        proxy: &'r str,
        row: &'r RowRecord,
        client: Option<&'r ClientRecord>,
        line: &'r JournalRecord,
    ) -> Self {
        Self {
            proxy,
            component: &row.component,
            user: &row.user,
            call: &row.call,
            outcome: &row.outcome,
            user_agent: client.map_or("", |client| &client.user_agent),
            impersonated: client.map_or("", |client| &client.impersonated),
            line,
        }
    }
}

/// The options of a get, list or watch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryRecord {
    /// `resourceVersion`, if it was given; `0` for any version.
    #[serde(skip_serializing_if = "is_default")]
    pub resource_version: Option<String>,
    /// `limit`.
    #[serde(skip_serializing_if = "is_default")]
    pub limit: Option<u64>,
    /// Whether it goes on from a page before (`continue`).
    #[serde(skip_serializing_if = "is_default")]
    pub is_continued: bool,
    /// `timeoutSeconds`.
    #[serde(skip_serializing_if = "is_default")]
    pub timeout_seconds: Option<u64>,
    /// Whether a watch begins with all objects (`sendInitialEvents`).
    #[serde(skip_serializing_if = "is_default")]
    pub initial_events: bool,
    /// Keys of the label selector, without values.
    #[serde(skip_serializing_if = "is_default")]
    pub label_keys: Vec<String>,
    /// Keys of the field selector, without values.
    #[serde(skip_serializing_if = "is_default")]
    pub field_keys: Vec<String>,
    /// The kind that was asked for in the place of the object's own (`as` of `Accept`), such as
    /// `PartialObjectMetadata`, which has nothing but the metadata, or `Table`; empty for none.
    #[serde(rename = "as", skip_serializing_if = "is_default")]
    pub as_kind: String,
}

/// What a request's body said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SentRecord {
    /// `metadata.resourceVersion`, or of a delete that of its `preconditions`: the write fails unless
    /// this is still the object's.
    #[serde(skip_serializing_if = "is_default")]
    pub resource_version: String,
    /// JSON pointers of what a patch changes, 64 at most; a list is not entered.
    #[serde(skip_serializing_if = "is_default")]
    pub paths: Vec<String>,
    /// JSON pointers of the `test`s of a JSON patch, 64 at most.
    #[serde(skip_serializing_if = "is_default")]
    pub tests: Vec<String>,
    /// How many more paths or tests there were.
    #[serde(skip_serializing_if = "is_default")]
    pub more: u64,
}

/// The object of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectSeen {
    /// `metadata.name`.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// `metadata.uid`.
    #[serde(skip_serializing_if = "is_default")]
    pub uid: String,
    /// `metadata.resourceVersion`.
    #[serde(skip_serializing_if = "is_default")]
    pub resource_version: String,
    /// `metadata.generation`.
    #[serde(skip_serializing_if = "is_default")]
    pub generation: Option<i64>,
    /// The owner that controls it.
    #[serde(skip_serializing_if = "is_default")]
    pub controller: Option<OwnerSeen>,
    /// Whether it is gone with this response: it was being deleted, and nothing keeps it any more.
    #[serde(skip_serializing_if = "is_default")]
    pub is_removed: bool,
}

/// An owner of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnerSeen {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// What a failure's `Status` said, without its messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusRecord {
    /// `reason`, such as `Conflict`.
    #[serde(skip_serializing_if = "is_default")]
    pub reason: String,
    /// `details.causes`, 16 at most.
    #[serde(skip_serializing_if = "is_default")]
    pub causes: Vec<CauseSeen>,
    /// UID of the flow schema that a 429 came from (`X-Kubernetes-PF-FlowSchema-UID`).
    #[serde(skip_serializing_if = "is_default")]
    pub flow_schema: String,
    /// UID of its priority level (`X-Kubernetes-PF-PriorityLevel-UID`).
    #[serde(skip_serializing_if = "is_default")]
    pub priority_level: String,
    /// The flow schema's name, if the API server told it at the end of the run.
    #[serde(skip_serializing_if = "is_default")]
    pub flow_schema_name: String,
    /// The priority level's name, likewise.
    #[serde(skip_serializing_if = "is_default")]
    pub priority_level_name: String,
}

/// One of the causes of a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct CauseSeen {
    /// Why, such as `FieldValueInvalid`.
    #[serde(skip_serializing_if = "is_default")]
    pub reason: String,
    /// Which field.
    #[serde(skip_serializing_if = "is_default")]
    pub field: String,
}

/// What a watch delivered, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchRecord {
    /// Events of type ADDED.
    pub added: u64,
    /// Events of type MODIFIED.
    pub modified: u64,
    /// Events of type DELETED.
    pub deleted: u64,
    /// Events of type BOOKMARK.
    pub bookmarks: u64,
    /// Events of type ERROR.
    pub errors: u64,
    /// Who ended it: `server`, `client`, `failure`, `proxy` (it drained); empty while it goes on.
    #[serde(skip_serializing_if = "is_default")]
    pub ended_by: String,
}

impl From<&Line> for JournalRecord {
    fn from(line: &Line) -> Self {
        let mut record = Self {
            row: line.row,
            at: line.at_micros,
            audit_id: line.audit_id.to_string(),
            head_us: line.head_micros,
            ..Self::default()
        };
        if let Some(asked) = &line.asked {
            record.add_asked(asked);
        }
        if let Some(end) = line.end.get() {
            record.add_end(end);
        }
        record
    }
}

impl JournalRecord {
    fn add_asked(&mut self, asked: &Asked) {
        let options = &asked.options;
        self.namespace = asked.namespace.to_string();
        self.name = asked.name.to_string();
        self.connection = asked.connection;
        self.stream = asked.stream;
        self.client = asked.client;
        self.repeats = asked.repeats;
        self.content_type = asked.content_type.to_string();
        self.field_manager = options.field_manager.to_string();
        self.dry_run = options.dry_run;
        self.warned = asked.warned;
        let query = QueryRecord {
            as_kind: asked.as_kind.to_string(),
            ..QueryRecord::from(options)
        };
        self.query = (!is_default(&query)).then(|| Box::new(query));
        self.failure = asked.throttled_by.as_deref().map(|[flow_schema, level]| {
            Box::new(StatusRecord {
                flow_schema: flow_schema.to_string(),
                priority_level: level.to_string(),
                ..StatusRecord::default()
            })
        });
    }
}

impl JournalRecord {
    fn add_end(&mut self, end: &End) {
        self.end_us = Some(end.micros);
        self.cut_short = end.cut_short;
        self.dry_run |= end.sent.as_deref().is_some_and(|sent| sent.dry_run);
        self.request_bytes = end.request_bytes;
        self.response_bytes = end.response_bytes;
        let sent = end.sent.as_deref().map(SentRecord::from);
        self.sent = sent.filter(|sent| !is_default(sent)).map(Box::new);
        self.watch = end.watch.as_deref().map(|watch| Box::new(watch.into()));
        self.unread = end.unread.map_or("", Unread::as_str).to_owned();
        match &end.seen {
            Seen::Nothing => {}
            Seen::Object(object) => self.object = Some(Box::new(object.into())),
            Seen::Status(status) => {
                let failure = self.failure.get_or_insert_default();
                failure.reason.clone_from(&status.reason);
                failure.causes = status.causes.iter().map(CauseSeen::from).collect();
            }
        }
        // A Status that says that all is well.
        self.failure.take_if(|failure| is_default(&**failure));
    }
}

impl From<&recorder::Sent> for SentRecord {
    fn from(sent: &recorder::Sent) -> Self {
        Self {
            resource_version: sent.resource_version.clone(),
            paths: sent.paths.clone(),
            tests: sent.tests.clone(),
            more: sent.more,
        }
    }
}

impl From<&recorder::Object> for ObjectSeen {
    fn from(object: &recorder::Object) -> Self {
        Self {
            name: object.name.clone(),
            uid: object.uid.clone(),
            resource_version: object.resource_version.clone(),
            generation: object.generation,
            controller: object.controller.as_ref().map(OwnerSeen::from),
            is_removed: object.is_removed,
        }
    }
}

impl From<&recorder::Owner> for OwnerSeen {
    fn from(owner: &recorder::Owner) -> Self {
        Self {
            kind: owner.kind.clone(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
        }
    }
}

impl From<&recorder::Cause> for CauseSeen {
    fn from(cause: &recorder::Cause) -> Self {
        Self {
            reason: cause.reason.clone(),
            field: cause.field.clone(),
        }
    }
}

impl From<&Watched> for WatchRecord {
    fn from(watched: &Watched) -> Self {
        let events = &watched.events;
        Self {
            added: events.added,
            modified: events.modified,
            deleted: events.deleted,
            bookmarks: events.bookmarks,
            errors: events.errors,
            ended_by: watched.ended_by.to_owned(),
        }
    }
}

impl From<&RequestOptions> for QueryRecord {
    fn from(options: &RequestOptions) -> Self {
        let owned = |texts: &[Box<str>]| texts.iter().map(|text| text.to_string()).collect();
        Self {
            resource_version: options.resource_version.as_deref().map(str::to_owned),
            limit: options.limit,
            is_continued: options.is_continued,
            timeout_seconds: options.timeout_seconds,
            initial_events: options.initial_events,
            label_keys: owned(&options.label_keys),
            field_keys: owned(&options.field_keys),
            as_kind: String::new(),
        }
    }
}

impl From<recorder::Client> for ClientRecord {
    fn from(client: recorder::Client) -> Self {
        Self {
            user_agent: client.user_agent.into(),
            impersonated: client.impersonated.into(),
        }
    }
}
