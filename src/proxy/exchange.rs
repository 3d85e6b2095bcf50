//! One request and its entry in the books, from its head to the end of its response.

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, Version};
use hyper::body::Incoming;

use super::{
    events::Events,
    guard::Visit,
    headers::Named,
    request_body::{RequestBody, SentBody},
    target,
};
use identity::{
    client::Client,
    proof::{self, Proof},
};
use ledger::{Answer, Ending, Entry, Outcome, Reason, Standing};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// One request and its entry in the books. Whatever happens, it is answered and closed once:
/// dropped before an answer, its client went away.
pub(super) struct Exchange {
    entry: Entry,
    visit: Visit,
    started: Instant,
    asked: Asked,
    body: Option<SentBody>,
    /// Of a watch, how far its events have come.
    pub(super) events: Option<Events>,
    /// What the response's `Connection` named.
    pub(super) named: Named,
}

/// What was asked, and by whom.
pub(super) struct Asked {
    pub(super) client: Arc<Client>,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) kind: proof::Asked,
    pub(super) is_watch: bool,
}

impl Exchange {
    pub(super) fn new(entry: Entry, visit: Visit, asked: Asked) -> Self {
        Self {
            entry,
            visit,
            started: Instant::now(),
            asked,
            body: None,
            events: None,
            named: Named::default(),
        }
    }

    /// Counts the bytes of the request's body, which came by this version of HTTP; its trailers
    /// lose what its `Connection` named.
    pub(super) fn meter(&mut self, body: Incoming, version: Version, named: Named) -> RequestBody {
        let (body, sent) = RequestBody::of(body, version, named);
        self.body = sent;
        body
    }

    /// Notes that the proxy itself knows the client's credential to be a good one.
    pub(super) fn vouch(&mut self) {
        self.asked.client = Arc::new(self.asked.client.vouched());
    }

    /// The response's trailers lose what its `Connection` named.
    pub(super) fn strip_trailers(&mut self, named: Named) {
        self.named = named;
    }

    /// Books the API server's response.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        if self.asked.is_watch && status == StatusCode::OK {
            self.events = Some(Events::of(headers));
        }
        if let Some(body) = &self.body {
            body.forget();
        }
        let audit_id = headers.get(AUDIT_ID).and_then(|id| id.to_str().ok());
        let proof = Proof::of(status, headers, self.asked.kind);
        self.book(Outcome::Code(status.as_u16()), proof, audit_id);
    }

    /// Books that there is no response, and why. There won't be anything more.
    pub(super) fn unanswered(&mut self, reason: Reason) {
        self.book(Outcome::NoAnswer(reason), Proof::Nothing, None);
        self.close(Ending::Complete);
    }

    /// Counts bytes that went to the client.
    pub(super) fn sent(&self, bytes: u64) {
        self.entry.add_response_bytes(bytes);
    }

    /// Whether the response is a watch that may end here as if it were at its end: its client goes
    /// on from the last event that it got, which is all that it would do had its own connection to
    /// the API server been lost.
    pub(super) fn is_between_events(&self) -> bool {
        self.events.as_ref().is_some_and(Events::is_between)
    }

    /// Counts bytes that an upgraded connection took from the client.
    pub(super) fn received(&self, bytes: u64) {
        self.entry.add_request_bytes(bytes);
    }

    /// Closes the entry; later endings don't count.
    pub(super) fn close(&mut self, ending: Ending) {
        if let Some(body) = self.body.take() {
            self.entry.add_request_bytes(body.bytes());
        }
        self.entry.close(ending, self.started.elapsed());
    }

    fn book(&mut self, outcome: Outcome, proof: Proof, audit_id: Option<&str>) {
        let Asked {
            client,
            method,
            uri,
            ..
        } = &self.asked;
        let booked = client.book(proof);
        if booked.standing == Standing::Authenticated {
            self.visit.note_authenticated();
        }
        self.entry.answer(Answer {
            outcome,
            party: booked.party,
            standing: booked.standing,
            name: &|with| target::name_call(method, uri, |name, _| with(name)),
            elapsed: self.started.elapsed(),
            at_micros: jiff::Timestamp::now().as_microsecond(),
            audit_id,
            object: &|| target::object(method, uri),
        });
        // A watch has no more use for it, and it may be long.
        self.asked.uri = Uri::default();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.entry.is_answered() {
            self.visit.taken_back();
            self.book(Outcome::NoAnswer(Reason::ClientGone), Proof::Nothing, None);
        }
        self.close(Ending::Dropped);
    }
}
