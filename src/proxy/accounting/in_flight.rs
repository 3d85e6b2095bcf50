//! A request in flight and its entry in the ledger, from its head to the end of its response.

use std::{
    cell::LazyCell,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, Method, StatusCode, Uri, Version};
use hyper::body::Incoming;

use super::{
    call,
    kept_bodies::{Kept, KeptBodies},
    reading,
    recording::{self, Answered, Recording, RequestHead},
    request_body::{RequestBody, SentBody},
};
use crate::{downstream::guard::RequestGuard, wire::headers::ConnectionNames};
use identity::{
    client::Client,
    proof::{Proof, RequestKind},
};
use ledger::{Answer, Ending, Entry, Outcome, Reason, Standing};
use recorder::{Events, Unread};

/// A request in flight and its ledger entry. Whatever happens, it is answered and closed once: if it
/// is dropped before an answer, its client has reset it.
pub(crate) struct InFlight {
    entry: Entry,
    guard: RequestGuard,
    started: Instant,
    request: RequestFacts,
    recording: Option<Box<Recording>>,
    body: Option<SentBody>,
    /// Of a watch, its events as far as they have been passed on.
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
    /// `head` is what a line of the journal needs, if there may be one.
    pub(crate) fn new(
        entry: Entry,
        guard: RequestGuard,
        request: RequestFacts,
        head: Option<RequestHead>,
    ) -> Self {
        Self {
            entry,
            guard,
            started: Instant::now(),
            request,
            recording: head.map(Recording::new).map(Box::new),
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
        let recording = self.recording.as_ref();
        let reader = recording.and_then(|recording| recording.request_reader());
        let (body, sent) = RequestBody::of(body, version, names, kept, reader);
        self.body = sent;
        body
    }

    /// Notes that the proxy itself knows the client's credential to be a good one.
    pub(crate) fn vouch(&mut self) {
        self.request.client = Arc::new(self.request.client.vouched());
    }

    /// Notes how often the request was sent again before its answer came.
    pub(crate) fn note_repeats(&mut self, repeats: u32) {
        if let Some(recording) = &mut self.recording {
            recording.note_repeats(repeats);
        }
    }

    /// The response's trailers lose what its `Connection` named.
    pub(crate) fn set_connection_names(&mut self, names: ConnectionNames) {
        self.connection_names = names;
    }

    /// Books the API server's response.
    pub(crate) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        if let Some(body) = &self.body {
            body.drop_kept();
        }
        let proof = Proof::of(status, headers, self.request.kind);
        let outcome = Outcome::Code(status.as_u16());
        self.book(outcome, proof, Some((status, headers)));
        if self.request.is_watch {
            self.begin_watch(status, headers);
        }
    }

    fn begin_watch(&mut self, status: StatusCode, headers: &HeaderMap) {
        if status == StatusCode::SWITCHING_PROTOCOLS {
            self.entry.add_unread_watch(Unread::WebSocket);
        }
        if status != StatusCode::OK {
            return;
        }
        let events = Events::new(reading::form(headers));
        if let Some(why) = events.unread() {
            self.entry.add_unread_watch(why);
        }
        self.events = Some(events);
    }

    /// Reads along what of the response is passed on to the client.
    pub(super) fn read_response(&mut self, data: &[u8]) {
        self.add_response_bytes(data.len() as u64);
        if let Some(events) = &mut self.events {
            let (before, was_read) = (events.counts(), events.unread().is_none());
            events.read(data);
            self.entry.add_events(&before, &events.counts());
            if let Some(why) = events.unread().filter(|_| was_read) {
                self.entry.add_unread_watch(why);
            }
        } else if let Some(recording) = &mut self.recording {
            recording.read_response(data);
        }
    }

    /// Books that there is no response, and why. There won't be anything more.
    pub(crate) fn unanswered(&mut self, reason: Reason) {
        self.book(Outcome::NoAnswer(reason), Proof::Nothing, None);
        self.close(Ending::Complete);
    }

    /// Counts bytes that went to the client.
    pub(crate) fn add_response_bytes(&self, bytes: u64) {
        self.entry.add_response_bytes(bytes);
        if let Some(recording) = &self.recording {
            recording.add_response_bytes(bytes);
        }
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
        if let Some(recording) = &self.recording {
            recording.add_request_bytes(bytes);
        }
    }

    /// Closes the entry; later endings don't count.
    pub(crate) fn close(&mut self, ending: Ending) {
        if let Some(body) = self.body.take() {
            self.add_request_bytes(body.bytes());
        }
        let elapsed = self.started.elapsed();
        self.entry.close(ending, elapsed);
        if let Some(recording) = &mut self.recording {
            let events = self.events.as_ref().map(Events::counts);
            let bytes = recording.end(micros(elapsed), ending, events);
            self.entry.add_line_bytes(bytes);
        }
    }

    fn book(&mut self, outcome: Outcome, proof: Proof, response: Option<(StatusCode, &HeaderMap)>) {
        let RequestFacts {
            client,
            method,
            uri,
            ..
        } = &self.request;
        let booked = client.book(proof);
        let is_authenticated = booked.standing == Standing::Authenticated;
        if is_authenticated {
            self.guard.note_authenticated();
        }
        let elapsed = self.started.elapsed();
        let answered = Answered {
            at_micros: jiff::Timestamp::now().as_microsecond(),
            head_micros: micros(elapsed),
            response,
        };
        let head = self
            .recording
            .as_ref()
            .and_then(|recording| recording.head());
        // The books want the object, and its line that and more: the target is read once for both.
        let asked_for = LazyCell::new(|| call::asked_for(method, uri));
        let asked = || recording::asked(head, (method, asked_for.clone()), &answered);
        let line = self.entry.answer(Answer {
            outcome,
            party: booked.party,
            standing: booked.standing,
            name: &|with| call::name_call(method, uri, |name, _| with(name)),
            elapsed,
            object: &|| asked_for.object.clone(),
            line: &|row| recording::line(row, &answered, is_authenticated.then(asked)),
        });
        match line {
            Some(line) => {
                let recording = self.recording.get_or_insert_default();
                recording.set_line(line, &answered);
            }
            None => self.recording = None,
        }
        // A watch has no more use for it, and it may be long.
        self.request.uri = Uri::default();
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
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
