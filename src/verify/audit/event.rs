//! Audit events, one JSON object a line, and the one event of each request that counts.

use std::{
    borrow::Cow,
    collections::{HashSet, VecDeque},
};

use jiff::Timestamp;
use serde::Deserialize;

use classify::{CallName, Target, classify, kubevirt::kubevirt_call};
use record::CallRecord;

/// How many audit IDs are remembered after their request was counted, for stages that come late
/// or again.
const RECENT_IDS: usize = 100_000;
/// How many long-running requests are remembered until their end comes; a policy may leave it out.
const OPEN_IDS: usize = 1_000_000;

/// A request as the audit log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The request's `auditID`, which is also in the response's `Audit-Id`.
    pub id: String,
    /// The authenticated user; empty where authentication failed.
    pub user: String,
    /// The user that was impersonated.
    pub impersonated: Option<String>,
    /// What was called.
    pub call: CallRecord,
    /// Namespace and name of the object.
    pub object: (String, String),
    /// The status code; 0 where the log has none.
    pub code: u16,
    /// When the server received the request.
    pub received: Timestamp,
    /// When it reached the stage that was counted.
    pub staged: Timestamp,
}

/// A line that is no audit event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadLine {
    /// Number of the line, from 1.
    pub line: u64,
    /// What is wrong with it; never its text.
    pub reason: String,
}

/// Takes the events of a log in any order and gives each request once.
#[derive(Debug, Default)]
pub struct AuditReader {
    line: u64,
    /// Long-running requests that were counted when their response started.
    open: Ids<OPEN_IDS>,
    recent: Ids<RECENT_IDS>,
}

/// The audit IDs that came last.
#[derive(Debug, Default)]
pub(super) struct Ids<const MAX: usize> {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl<const MAX: usize> Ids<MAX> {
    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    pub(super) fn insert(&mut self, id: &str) {
        if self.order.len() >= MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.order.push_back(id.to_owned());
        self.ids.insert(id.to_owned());
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.ids.remove(id);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(rename = "auditID", borrow)]
    audit_id: Cow<'a, str>,
    #[serde(borrow)]
    stage: Cow<'a, str>,
    #[serde(rename = "requestURI", borrow)]
    request_uri: Cow<'a, str>,
    #[serde(borrow)]
    verb: Cow<'a, str>,
    #[serde(default)]
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: Status,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize, Default)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ObjectRef {
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
}

impl AuditReader {
    /// Takes one line; gives the request if this is the event that counts it.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<AuditEntry>, BadLine> {
        self.line += 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(None);
        }
        let event: Event<'_> = serde_json::from_slice(line).map_err(|error| BadLine {
            line: self.line,
            reason: format!("not an audit event: {:?} error", error.classify()),
        })?;
        self.event(&event)
    }

    fn event(&mut self, event: &Event<'_>) -> Result<Option<AuditEntry>, BadLine> {
        let last_stage = match &*event.stage {
            "RequestReceived" => return Ok(None),
            "ResponseStarted" => false,
            "ResponseComplete" | "Panic" => true,
            _ => {
                return Err(BadLine {
                    line: self.line,
                    reason: "an unknown stage".to_owned(),
                });
            }
        };
        let target = parse_target(event).ok_or_else(|| BadLine {
            line: self.line,
            reason: "a requestURI that no server takes".to_owned(),
        })?;
        let method = method_of(&event.verb);
        let call = classify(method, &target);
        let code = event.response_status.code;
        // A failed authentication ends with the start of its response.
        if !last_stage && code != 401 && !call.is_long_running() {
            return Ok(None);
        }
        let id = &*event.audit_id;
        if self.recent.contains(id) {
            return Ok(None);
        }
        if self.open.contains(id) {
            if last_stage {
                self.open.remove(id);
                self.recent.insert(id);
            }
            return Ok(None);
        }
        if last_stage || code == 401 {
            self.recent.insert(id);
        } else {
            self.open.insert(id);
        }
        let name = CallName::new(&call, kubevirt_call(method, &target));
        let mut call: CallRecord = name.into();
        // The log's word: a HEAD is a get in it, and its path doesn't tell.
        event.verb.as_ref().clone_into(&mut call.verb);
        Ok(Some(AuditEntry {
            id: id.to_owned(),
            user: event.user.username.clone(),
            impersonated: event
                .impersonated_user
                .as_ref()
                .map(|user| user.username.clone()),
            call,
            object: (
                event.object_ref.namespace.clone(),
                event.object_ref.name.clone(),
            ),
            code,
            received: event.request_received_timestamp,
            staged: event.stage_timestamp,
        }))
    }
}

fn parse_target<'e>(event: &'e Event<'_>) -> Option<Target<'e>> {
    Target::parse(method_of(&event.verb), event.request_uri.as_bytes()).ok()
}

/// The method behind a verb, for KubeVirt's rule, which goes by methods. A verb of another method
/// stands for itself.
fn method_of(verb: &str) -> &str {
    match verb {
        "get" | "list" | "watch" | "proxy" => "GET",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => "PATCH",
        "delete" | "deletecollection" => "DELETE",
        "head" => "HEAD",
        "options" => "OPTIONS",
        "" => "OPTIONS",
        other => other,
    }
}
