//! What the bodies in an event say, by the readers that a proxy has for them, and never a value.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::Event;
use classify::{has_objects, is_eviction};
use record::{CallRecord, CauseSeen, ObjectSeen, StatusRecord};
use recorder::{
    CAUSES_MAX, Change, FIELD_MAX, Form, ObjectReader, REASON_MAX, Seen, Sent, SentReader,
};

/// Whether the bodies of a call are read: objects are, but for Secrets.
fn is_read(call: &CallRecord) -> bool {
    let is_secret = call.group.is_empty() && call.resource == "secrets";
    !call.resource.is_empty() && has_objects(&call.subresource) && !is_secret
}

/// What the request's body said; nothing where that is not known. At level Metadata an event has the
/// version that an update sent.
pub(super) fn sent(event: &Event<'_>, call: &CallRecord) -> Option<Sent> {
    let change = match (&*call.verb, event.request_object) {
        (verb, _) if is_eviction(verb, &call.subresource) => Change::Eviction,
        ("create" | "update" | "patch" | "delete" | "deletecollection", _) if !is_read(call) => {
            return None;
        }
        // There is no type in the log, but only a JSON patch is a list.
        ("patch", Some(body)) if body.get().starts_with('[') => Change::Operations,
        ("patch", _) => Change::Part,
        ("create" | "update", _) => Change::Object,
        ("delete" | "deletecollection", _) => Change::Deletion,
        _ => return None,
    };
    let Some(body) = event.request_object else {
        return version(event, change);
    };
    let mut reader = SentReader::new(Form::Json, change);
    reader.read(body.get().as_bytes());
    let is_read = reader.unread().is_none();
    is_read.then(|| reader.finish())
}

fn version(event: &Event<'_>, change: Change) -> Option<Sent> {
    let version = &event.object_ref.resource_version;
    let is_told = change == Change::Object && !version.is_empty();
    is_told.then(|| Sent {
        resource_version: version.clone(),
        ..Sent::default()
    })
}

/// Whether the object of the response is known, and the object, if there is one.
pub(super) fn object(event: &Event<'_>, call: &CallRecord) -> (bool, Option<ObjectSeen>) {
    let is_single = matches!(
        &*call.verb,
        "create" | "get" | "update" | "patch" | "delete"
    );
    let Some(body) = event.response_object.filter(|_| is_single && is_read(call)) else {
        return (false, None);
    };
    let mut reader = ObjectReader::new(Form::Json);
    reader.read(body.get().as_bytes());
    if reader.unread().is_some() {
        return (false, None);
    }
    match reader.finish() {
        Seen::Object(object) => (true, Some((&object).into())),
        Seen::Status(_) | Seen::Nothing => (true, None),
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cause {
    reason: String,
    field: String,
}

/// Why a request failed, which an event of any level says.
pub(super) fn failure(event: &Event<'_>) -> Option<StatusRecord> {
    let status = &event.response_status;
    if status.code < 400 {
        return None;
    }
    let causes = parsed::<Details>(status.details).causes;
    let causes = causes.iter().take(CAUSES_MAX).map(|cause| CauseSeen {
        reason: cut(&cause.reason, REASON_MAX).to_owned(),
        field: cut(&cause.field, FIELD_MAX).to_owned(),
    });
    let failure = StatusRecord {
        reason: cut(&status.reason, REASON_MAX).to_owned(),
        causes: causes.collect(),
        ..StatusRecord::default()
    };
    (failure != StatusRecord::default()).then_some(failure)
}

/// A part of an event; what it is without one where it is none.
pub(super) fn parsed<'a, T: Deserialize<'a> + Default>(part: Option<&'a RawValue>) -> T {
    let parsed = part.and_then(|part| serde_json::from_str(part.get()).ok());
    parsed.unwrap_or_default()
}

/// The beginning of a text, of so many bytes at most.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
