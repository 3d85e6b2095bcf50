//! Which bodies are read as they pass, and by what. None is delayed, and of none is anything kept
//! but the few fields that a line has room for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, StatusCode, header};

use classify::{CallName, has_objects, is_eviction};
use recorder::{Change, Form, ObjectReader, Seen, Sent, SentReader, Unread};

/// Resources of which nothing is read: group and resource.
#[derive(Debug, Clone)]
pub struct Never(Vec<(Box<str>, Box<str>)>);

/// Which bodies of a request are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// None, and there is nothing in them that could be of use.
    Nothing,
    /// None, since they are never read.
    Never,
    /// That of a response that is a failure.
    Failure,
    /// That of the response.
    Response,
    /// Both, of which the request's says what is written.
    Both,
    /// Both, of which the request's has the options of a delete.
    Deletion,
    /// That of the request, which is an eviction, and of a response that is a failure.
    Eviction,
}

impl Never {
    /// Those that are given as `resource` or `resource.group`, and Secrets.
    pub fn new(resources: &[String]) -> Self {
        let secrets = ("".into(), "secrets".into());
        let split = |text: &String| match text.split_once('.') {
            Some((resource, group)) => (group.into(), resource.into()),
            None => ("".into(), text.as_str().into()),
        };
        let given = resources.iter().map(split);
        Self(given.chain([secrets]).collect())
    }

    fn has(&self, group: &str, resource: &str) -> bool {
        let mut all = self.0.iter();
        all.any(|(one_group, one)| **one_group == *group && **one == *resource)
    }
}

impl Wanted {
    /// Of a call of this name.
    pub(crate) fn of(name: &CallName<'_>, never: &Never) -> Self {
        if name.resource.is_empty() {
            return Self::Nothing;
        }
        if never.has(name.group, name.resource) {
            return Self::Never;
        }
        match name.verb {
            verb if is_eviction(verb, name.subresource) => Self::Eviction,
            _ if !has_objects(name.subresource) => Self::Failure,
            "create" | "update" | "patch" => Self::Both,
            "delete" | "deletecollection" => Self::Deletion,
            "get" => Self::Response,
            _ => Self::Failure,
        }
    }

    fn has_response(self, status: StatusCode) -> bool {
        match self {
            Self::Nothing | Self::Never => false,
            Self::Failure | Self::Eviction => is_failure(status),
            Self::Response | Self::Both | Self::Deletion => true,
        }
    }
}

/// Reads a request's body; shared with who sends it on.
#[derive(Clone)]
pub(crate) struct RequestReader(Arc<Mutex<Reading>>);

struct Reading {
    reader: SentReader,
    has_begun: bool,
}

impl RequestReader {
    /// Of a request with these headers, if its body is wanted.
    pub(super) fn of(wanted: Wanted, headers: &HeaderMap) -> Option<Self> {
        let content_type = value(headers, &header::CONTENT_TYPE);
        let change = match wanted {
            Wanted::Both => Change::of(content_type),
            Wanted::Deletion => Change::Deletion,
            Wanted::Eviction => Change::Eviction,
            Wanted::Nothing | Wanted::Never | Wanted::Failure | Wanted::Response => return None,
        };
        let reading = Reading {
            reader: SentReader::new(form(headers), change),
            has_begun: false,
        };
        Some(Self(Arc::new(Mutex::new(reading))))
    }

    pub(super) fn read(&self, data: &[u8]) {
        let mut reading = self.reading();
        reading.has_begun |= !data.is_empty();
        if !reading.reader.is_done() {
            reading.reader.read(data);
        }
    }

    /// What it said, and why not all of it was read.
    pub(super) fn sent(&self) -> (Sent, Option<Unread>) {
        let mut reading = self.reading();
        let unread = reading.reader.unread().filter(|_| reading.has_begun);
        let done = SentReader::new(Form::Unread(Unread::Never), Change::Object);
        (
            std::mem::replace(&mut reading.reader, done).finish(),
            unread,
        )
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a response's body.
pub(super) struct ResponseReader {
    reader: ObjectReader,
    has_begun: bool,
}

impl ResponseReader {
    /// Of a response with this head, if its body is wanted.
    pub(super) fn of(wanted: Wanted, status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        wanted.has_response(status).then(|| Self {
            reader: ObjectReader::new(form(headers)),
            has_begun: false,
        })
    }

    pub(super) fn read(&mut self, data: &[u8]) {
        self.has_begun |= !data.is_empty();
        if !self.reader.is_done() {
            self.reader.read(data);
        }
    }

    /// What it said, and why not all of it was read.
    pub(super) fn seen(self) -> (Seen, Option<Unread>) {
        let unread = self.reader.unread().filter(|_| self.has_begun);
        (self.reader.finish(), unread)
    }
}

/// Whether a response says why it isn't what was asked for.
fn is_failure(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// The form of a body with these headers.
pub(super) fn form(headers: &HeaderMap) -> Form {
    let content_type = value(headers, &header::CONTENT_TYPE);
    Form::of(content_type, headers.contains_key(header::CONTENT_ENCODING))
}

fn value<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> &'h [u8] {
    headers.get(name).map_or(&b""[..], |value| value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(verb: &str, group: &str, resource: &str, subresource: &str) -> Wanted {
        let name = CallName {
            verb,
            group,
            resource,
            subresource,
            ..CallName::OVERFLOW
        };
        let never = Never::new(&["widgets.example.com".to_owned(), "nodes".to_owned()]);
        Wanted::of(&name, &never)
    }

    #[test]
    fn bodies_of_objects_are_read_but_for_secrets_and_what_is_named() {
        assert_eq!(wanted("update", "", "pods", "status"), Wanted::Both);
        assert_eq!(wanted("get", "apps", "deployments", ""), Wanted::Response);
        assert_eq!(wanted("delete", "", "pods", ""), Wanted::Deletion);
        assert_eq!(wanted("deletecollection", "", "pods", ""), Wanted::Deletion);
        assert_eq!(wanted("create", "", "pods", "eviction"), Wanted::Eviction);
        assert_eq!(wanted("list", "", "pods", ""), Wanted::Failure);
        assert_eq!(wanted("get", "", "pods", "log"), Wanted::Failure);
        assert_eq!(wanted("get", "", "", ""), Wanted::Nothing);
        assert_eq!(wanted("update", "", "secrets", ""), Wanted::Never);
        assert_eq!(
            wanted("get", "example.com", "secrets", ""),
            Wanted::Response
        );
        assert_eq!(wanted("get", "example.com", "widgets", ""), Wanted::Never);
        assert_eq!(wanted("get", "", "nodes", ""), Wanted::Never);
    }

    #[test]
    fn a_request_without_a_body_is_not_unread() {
        let of = |wanted| RequestReader::of(wanted, &HeaderMap::new());
        let reader = of(Wanted::Deletion).unwrap();
        assert_eq!(reader.sent(), (Sent::default(), None));
        let reader = of(Wanted::Deletion).unwrap();
        reader.read(b"x");
        assert_eq!(reader.sent().1, Some(Unread::UnknownForm));
        assert!(of(Wanted::Response).is_none());
    }

    #[test]
    fn of_a_list_only_a_failure_is_read() {
        let headers = HeaderMap::new();
        let reads = |status| ResponseReader::of(Wanted::Failure, status, &headers).is_some();
        assert!(reads(StatusCode::GONE) && !reads(StatusCode::OK));
        let failed = StatusCode::CONFLICT;
        assert!(ResponseReader::of(Wanted::Never, failed, &headers).is_none());
    }
}
