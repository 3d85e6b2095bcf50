//! A request in flight and its entry in the ledger, from its head to the end of its response.

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, Version};
use hyper::body::Incoming;

use super::{
    call,
    events::Events,
    kept_bodies::{Kept, KeptBodies},
    request_body::{RequestBody, SentBody},
};
use crate::{downstream::guard::RequestGuard, wire::headers::ConnectionNames};
use identity::{
    client::Client,
    proof::{Proof, RequestKind},
};
use ledger::{Answer, Ending, Entry, Outcome, Reason, Standing};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// A request in flight and its ledger entry. Whatever happens, it is answered and closed once: if it
/// is dropped before an answer, its client has reset it.
pub(crate) struct InFlight {
    entry: Entry,
    guard: RequestGuard,
    started: Instant,
    request: RequestFacts,
    body: Option<SentBody>,
    /// Of a watch, how far its events have been passed on.
    pub(super) events: Option<Events>,
    /// What the response's `Connection` named.
    pub(super) connection_names: ConnectionNames,
}

/// What the ledger wants to know of a request's head.
pub(crate) struct RequestFacts {
    pub(crate) client: Arc<Client>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) kind: RequestKind,
    pub(crate) is_watch: bool,
}

impl InFlight {
    pub(crate) fn new(entry: Entry, guard: RequestGuard, request: RequestFacts) -> Self {
        Self {
            entry,
            guard,
            started: Instant::now(),
            request,
            body: None,
            events: None,
            connection_names: ConnectionNames::default(),
        }
    }

    /// Counts the bytes of the request's body, which came by this version of HTTP; its trailers
    /// lose what its `Connection` named. It can be kept among `bodies`.
    pub(crate) fn count_request_body(
        &mut self,
        body: Incoming,
        version: Version,
        names: ConnectionNames,
        bodies: &Arc<KeptBodies>,
    ) -> RequestBody {
        let kept = || Kept::new(Arc::clone(bodies), self.guard.is_authenticated());
        let (body, sent) = RequestBody::of(body, version, names, kept);
        self.body = sent;
        body
    }

    /// Notes that the proxy itself knows the client's credential to be a good one.
    pub(crate) fn vouch(&mut self) {
        self.request.client = Arc::new(self.request.client.vouched());
    }

    /// The response's trailers lose what its `Connection` named.
    pub(crate) fn set_connection_names(&mut self, names: ConnectionNames) {
        self.connection_names = names;
    }

    /// Books the API server's response.
    pub(crate) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        if self.request.is_watch && status == StatusCode::OK {
            self.events = Some(Events::of(headers));
        }
        if let Some(body) = &self.body {
            body.drop_kept();
        }
        let audit_id = headers.get(AUDIT_ID).and_then(|id| id.to_str().ok());
        let proof = Proof::of(status, headers, self.request.kind);
        self.book(Outcome::Code(status.as_u16()), proof, audit_id);
    }

    /// Books that there is no response, and why. There won't be anything more.
    pub(crate) fn unanswered(&mut self, reason: Reason) {
        self.book(Outcome::NoAnswer(reason), Proof::Nothing, None);
        self.close(Ending::Complete);
    }

    /// Counts bytes that went to the client.
    pub(crate) fn add_response_bytes(&self, bytes: u64) {
        self.entry.add_response_bytes(bytes);
    }

    /// Whether the response is a watch that may end here as if it were at its end: its client goes
    /// on from the last event that it got, which is all that it would do had its own connection to
    /// the API server been lost.
    pub(super) fn is_between_events(&self) -> bool {
        self.events.as_ref().is_some_and(Events::is_between)
    }

    /// Counts bytes that an upgraded connection took from the client.
    pub(crate) fn add_request_bytes(&self, bytes: u64) {
        self.entry.add_request_bytes(bytes);
    }

    /// Closes the entry; later endings don't count.
    pub(crate) fn close(&mut self, ending: Ending) {
        if let Some(body) = self.body.take() {
            self.entry.add_request_bytes(body.bytes());
        }
        self.entry.close(ending, self.started.elapsed());
    }

    fn book(&mut self, outcome: Outcome, proof: Proof, audit_id: Option<&str>) {
        let RequestFacts {
            client,
            method,
            uri,
            ..
        } = &self.request;
        let booked = client.book(proof);
        if booked.standing == Standing::Authenticated {
            self.guard.note_authenticated();
        }
        self.entry.answer(Answer {
            outcome,
            party: booked.party,
            standing: booked.standing,
            name: &|with| call::name_call(method, uri, |name, _| with(name)),
            elapsed: self.started.elapsed(),
            at_micros: jiff::Timestamp::now().as_microsecond(),
            audit_id,
            object: &|| call::object(method, uri),
        });
        // A watch has no more use for it, and it may be long.
        self.request.uri = Uri::default();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.entry.is_answered() {
            self.guard.note_client_reset();
            self.book(Outcome::NoAnswer(Reason::ClientGone), Proof::Nothing, None);
        }
        self.close(Ending::Dropped);
    }
}
