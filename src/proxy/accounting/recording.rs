//! What the line of a request in a journal is made of.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::{
    call::AskedFor,
    reading::{RequestReader, ResponseReader, Wanted},
};
use ledger::Ending;
use recorder::{
    Asked, Clients, End, EventCounts, Line, Seen, Sent, Unread, Watched, kept_audit_id,
};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");
const FLOW_SCHEMA: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const PRIORITY_LEVEL: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// Longest media type and UID that are kept, in bytes.
const WORD_MAX: usize = 64;

/// What the lines of all connections of one proxy share.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) clients: Clients,
    connections: AtomicU64,
}

/// Numbers one connection and its requests.
pub(crate) struct Numbers {
    recorder: Arc<Recorder>,
    connection: u64,
    requests: AtomicU64,
}

impl Recorder {
    /// The numbers of the next connection.
    pub(crate) fn connection(self: &Arc<Self>) -> Numbers {
        Numbers {
            recorder: Arc::clone(self),
            connection: self.connections.fetch_add(1, Ordering::Relaxed) + 1,
            requests: AtomicU64::new(0),
        }
    }
}

impl Numbers {
    /// Counts a request of the connection, and gives its number.
    pub(crate) fn next(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What the head of that request says, and which of its bodies are read.
    pub(crate) fn head(&self, stream: u64, headers: &HeaderMap, wanted: Wanted) -> RequestHead {
        let kept = |name| headers.get(name).cloned();
        RequestHead {
            recorder: Arc::clone(&self.recorder),
            connection: self.connection,
            stream,
            user_agent: kept(header::USER_AGENT),
            impersonated: kept(IMPERSONATE_USER),
            content_type: kept(header::CONTENT_TYPE),
            accept: kept(header::ACCEPT),
            wanted,
            reader: RequestReader::of(wanted, headers),
            repeats: 0,
        }
    }
}

/// What a request's head says beside method and target; held until its answer.
pub(crate) struct RequestHead {
    recorder: Arc<Recorder>,
    connection: u64,
    stream: u64,
    user_agent: Option<HeaderValue>,
    impersonated: Option<HeaderValue>,
    content_type: Option<HeaderValue>,
    accept: Option<HeaderValue>,
    wanted: Wanted,
    reader: Option<RequestReader>,
    repeats: u32,
}

/// A request whose line is kept, or will be.
#[derive(Default)]
pub(super) struct Recording {
    /// Until the answer; none of a request that was there before the journal.
    head: Option<RequestHead>,
    line: Option<Arc<Line>>,
    request: Option<RequestReader>,
    response: Option<ResponseReader>,
    is_never_read: bool,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
}

/// An answer, as far as a line has it.
pub(super) struct Answered<'a> {
    pub(super) at_micros: i64,
    pub(super) head_micros: u64,
    /// Its head, if the API server gave one.
    pub(super) response: Option<(StatusCode, &'a HeaderMap)>,
}

impl Recording {
    pub(super) fn new(head: RequestHead) -> Self {
        Self {
            head: Some(head),
            ..Self::default()
        }
    }

    pub(super) fn head(&self) -> Option<&RequestHead> {
        self.head.as_ref()
    }

    pub(super) fn note_repeats(&mut self, repeats: u32) {
        if let Some(head) = &mut self.head {
            head.repeats = repeats;
        }
    }

    /// Reads the request's body, if it is to be read.
    pub(super) fn request_reader(&self) -> Option<RequestReader> {
        self.head.as_ref().and_then(|head| head.reader.clone())
    }

    /// The line is kept. What is read of a client's bodies goes into it only if that is
    /// authenticated.
    pub(super) fn set_line(&mut self, line: Arc<Line>, answered: &Answered<'_>) {
        if let (Some(head), true) = (self.head.take(), line.asked.is_some()) {
            self.is_never_read = head.wanted == Wanted::Never;
            self.request = head.reader;
            self.response = answered
                .response
                .and_then(|(status, headers)| ResponseReader::of(head.wanted, status, headers));
        }
        self.line = Some(line);
    }

    pub(super) fn read_response(&mut self, data: &[u8]) {
        if let Some(response) = &mut self.response {
            response.read(data);
        }
    }

    pub(super) fn add_request_bytes(&self, bytes: u64) {
        self.request_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_response_bytes(&self, bytes: u64) {
        self.response_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The response has ended; of a watch, with these events. Gives the bytes of memory that the
    /// line takes more by that.
    pub(super) fn end(
        &mut self,
        micros: u64,
        ending: Ending,
        events: Option<EventCounts>,
    ) -> usize {
        let Some(line) = self.line.take() else {
            return 0;
        };
        let (sent, sent_unread) = match self.request.take() {
            Some(reader) => reader.sent(),
            None => (Sent::default(), None),
        };
        let (seen, seen_unread) = match self.response.take() {
            Some(reader) => reader.seen(),
            None => (Seen::Nothing, None),
        };
        let never = self.is_never_read.then_some(Unread::Never);
        let end = End {
            micros,
            cut_short: ending != Ending::Complete,
            request_bytes: self.request_bytes.load(Ordering::Relaxed),
            response_bytes: self.response_bytes.load(Ordering::Relaxed),
            sent: (sent != Sent::default()).then(|| Box::new(sent)),
            seen,
            watch: events.map(|events| Box::new(watched(events, ending))),
            unread: sent_unread.or(seen_unread).or(never),
        };
        let bytes = end.bytes();
        // Nobody else ends it.
        let _ = line.end.set(end);
        bytes
    }
}

fn watched(events: EventCounts, ending: Ending) -> Watched {
    let ended_by = match ending {
        Ending::Complete => "server",
        Ending::Failed => "failure",
        Ending::Dropped => "client",
    };
    Watched { events, ended_by }
}

/// The line of a request as it is answered. `asked` has the client's own words, which only an
/// authenticated one leaves.
pub(super) fn line(row: u32, answered: &Answered<'_>, asked: Option<Box<Asked>>) -> Line {
    let response = answered.response;
    let audit_id = response.and_then(|(_, headers)| text(headers.get(AUDIT_ID)));
    Line {
        row,
        at_micros: answered.at_micros,
        audit_id: kept_audit_id(audit_id.unwrap_or_default()).into(),
        head_micros: answered.head_micros,
        asked,
        ..Line::default()
    }
}

/// What an authenticated client asked for.
pub(super) fn asked(
    head: Option<&RequestHead>,
    (method, AskedFor { object, options }): (&Method, AskedFor),
    answered: &Answered<'_>,
) -> Box<Asked> {
    let mut asked = Asked {
        namespace: object.namespace,
        name: object.name,
        options,
        ..Asked::default()
    };
    if let Some(head) = head {
        asked.connection = head.connection;
        asked.stream = head.stream;
        asked.repeats = head.repeats;
        let clients = &head.recorder.clients;
        asked.client = clients.number(word(&head.user_agent), word(&head.impersonated));
        let media_type = word(&head.content_type).split(';').next();
        asked.content_type = short(media_type.unwrap_or_default().trim());
        if *method == Method::GET {
            asked.as_kind = short(as_kind(word(&head.accept)));
        }
    }
    if let Some((status, headers)) = answered.response {
        asked.warned = headers.contains_key(header::WARNING);
        asked.throttled_by = (status == StatusCode::TOO_MANY_REQUESTS).then(|| {
            let uid = |name| short(text(headers.get(name)).unwrap_or_default());
            Box::new([uid(FLOW_SCHEMA), uid(PRIORITY_LEVEL)])
        });
    }
    Box::new(asked)
}

/// The kind that an `Accept` asks for first in the place of the object's own; empty for none.
fn as_kind(accept: &str) -> &str {
    let first = accept.split(',').next().unwrap_or_default();
    let mut parameters = first.split(';').skip(1).map(str::trim);
    let kind = parameters.find_map(|parameter| parameter.strip_prefix("as="));
    kind.unwrap_or_default()
}

fn word(value: &Option<HeaderValue>) -> &str {
    text(value.as_ref()).unwrap_or_default()
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}

fn short(word: &str) -> Box<str> {
    if word.len() <= WORD_MAX { word } else { "" }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_that_is_asked_for_is_that_of_the_first_form() {
        for (accept, kind) in [
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,\
                 application/json;as=Table;g=meta.k8s.io;v=v1,application/json",
                "PartialObjectMetadata",
            ),
            ("application/json; g=meta.k8s.io; as=Table; v=v1", "Table"),
            ("application/json, application/json;as=Table", ""),
            ("application/json;alias=Table", ""),
            ("", ""),
        ] {
            assert_eq!(as_kind(accept), kind, "{accept}");
        }
    }
}
