//! The life of a request: booked, checked, sent, answered.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};

use super::{
    answer::OwnAnswer,
    count,
    exchange::{Asked, Exchange},
    framing,
    guard::Visit,
    headers::{self, ConnectionHeader},
    heads,
    response_body::ResponseBody,
    session::{SendError, Session},
    target::name_call,
    upgrade,
};
use classify::{CallName, TargetError};
use identity::{client::Client, proof};
use ledger::Reason;

/// Ends the stream (HTTP/2) or the connection (HTTP/1.1) without an answer: the request may have
/// reached the API server, and no answer of ours could be true.
#[derive(Debug, thiserror::Error)]
#[error("no answer can be given: the request may have been processed")]
pub(super) struct NoAnswer;

/// Why an exchange ends without the API server's response.
pub(super) enum Failure {
    /// The proxy says why.
    Answer(OwnAnswer),
    /// The proxy says nothing.
    Silence(Reason),
}

impl Failure {
    /// The same at the end of its connection: who asked for an upgrade may have sent on already.
    fn closing(self) -> Self {
        match self {
            Self::Answer(answer) => Self::Answer(OwnAnswer {
                close: true,
                ..answer
            }),
            Self::Silence(reason) => Self::Silence(reason),
        }
    }
}

/// Forwards one request.
pub(super) async fn forward(
    session: Arc<Session>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, NoAnswer> {
    let visit = session.guard.visit();
    let flaw = framing::check(request.version(), request.headers_mut()).err();
    let flaw = visit.flaw().or(flaw);
    let client = session.client(request.headers());
    if !session.guard.is_authenticated() && client.is_known() {
        session.guard.note_authenticated();
    }
    let cost = if session.guard.is_authenticated() {
        0
    } else {
        heads::cost(&request)
    };
    let room = session.guard.head_ends(cost);
    let version = request.version();
    let upgrade = request.extensions().get::<OnUpgrade>().cloned();
    let (mut exchange, is_watch, target_error) = open(&session, client, visit, &request);
    let responded = match (flaw, room) {
        (Some(flaw), _) => Err(refused(StatusCode::BAD_REQUEST, flaw.to_string())),
        (None, Err(error)) => Err(Failure::Answer(OwnAnswer::unavailable(
            Reason::Refused,
            error.to_string(),
            is_watch,
        ))),
        (None, Ok(())) => respond(&session, request, &mut exchange, is_watch, target_error).await,
    };
    if let Some(client) = upgrade
        && !matches!(responded, Ok(Reply::Upgrade(_)))
    {
        upgrade::end_well(client, Arc::clone(&session.place));
    }
    session.guard.note_answer(cost);
    match responded {
        Ok(Reply::Upstream(mut response)) => {
            session.say_close(&mut response);
            let (version, proxy) = (response.version(), &session.proxy);
            Ok(response.map(|body| ResponseBody::upstream(body, version, exchange, proxy)))
        }
        Ok(Reply::Upgrade(accepted)) => Ok(accepted.start(exchange, Arc::clone(&session.place))),
        Err(Failure::Answer(answer)) => {
            exchange.unanswered(answer.reason);
            let mut response = answer.into_response(version);
            session.say_close(&mut response);
            Ok(response.map(ResponseBody::Own))
        }
        Err(Failure::Silence(reason)) => {
            exchange.unanswered(reason);
            Err(NoAnswer)
        }
    }
}

pub(super) enum Reply {
    Upstream(Response<Incoming>),
    Upgrade(upgrade::Accepted),
}

fn refused(status: StatusCode, message: String) -> Failure {
    Failure::Answer(OwnAnswer::refused(status, message))
}

fn open(
    session: &Session,
    client: Arc<Client>,
    visit: Visit,
    request: &Request<Incoming>,
) -> (Exchange, bool, Option<TargetError>) {
    let (method, uri) = (request.method(), request.uri());
    name_call(method, uri, |name, error| {
        let entry = session.proxy.books.open(name, client.is_known());
        let asked = Asked {
            client,
            method: method.clone(),
            uri: uri.clone(),
            kind: proof::Asked::of(name),
            is_watch: name.verb == "watch",
        };
        session.guard.answer_half_closed(!is_long_running(name));
        let is_watch = asked.is_watch;
        (Exchange::new(entry, visit, asked), is_watch, error)
    })
}

/// Whether kube-apiserver lets the request run without end (`LongRunningFunc` of its
/// `pkg/controlplane/apiserver`): it must end with its client.
fn is_long_running(name: &CallName<'_>) -> bool {
    matches!(name.verb, "watch" | "proxy")
        || matches!(
            name.subresource,
            "attach" | "exec" | "proxy" | "log" | "portforward"
        )
}

async fn respond(
    session: &Session,
    mut request: Request<Incoming>,
    exchange: &mut Exchange,
    is_watch: bool,
    target_error: Option<TargetError>,
) -> Result<Reply, Failure> {
    if *request.method() == Method::CONNECT {
        let message = "CONNECT is not for an API server".to_owned();
        return Err(refused(StatusCode::METHOD_NOT_ALLOWED, message));
    }
    if let Some(error) = target_error {
        return Err(refused(StatusCode::BAD_REQUEST, error.to_string()));
    }
    let connection = ConnectionHeader::read(request.headers())
        .map_err(|error| refused(StatusCode::BAD_REQUEST, error.to_string()))?;
    if pass_gate(session, &mut request)? {
        exchange.vouch();
    }
    let is_upgrade = upgrade::is_wanted(&request, &connection);
    if let Some(why) = session.peer.refusal(request.headers(), is_upgrade) {
        count(&session.proxy.connections.certificates_refused);
        return Err(refused(StatusCode::UNAUTHORIZED, why.to_owned()));
    }
    let method = request.method().clone();
    if is_upgrade {
        let accepted = upgrade::ask(session, request, &connection).await;
        let response = accepted.map_err(|error| error.into_failure(&method, false).closing())?;
        exchange.answered(response.status(), response.headers());
        return Ok(response.into_reply());
    }
    headers::prepare_request(request.headers_mut(), &connection, session.client);
    session.peer.identify(request.headers_mut());
    let version = request.version();
    let named = connection.into_named();
    let request = request.map(|body| exchange.meter(body, version, named));
    let sent = session.send(request).await;
    let mut response = sent.map_err(|error| error.into_failure(&method, is_watch))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it: what follows is not HTTP.
        let error = SendError::bad_response("an upgrade that nobody asked for");
        return Err(error.into_failure(&method, is_watch));
    }
    framing::check_response(response.headers_mut()).map_err(|flaw| {
        SendError::bad_response(&flaw.to_string()).into_failure(&method, is_watch)
    })?;
    exchange.answered(response.status(), response.headers());
    let named = headers::prepare_response(response.headers_mut());
    exchange.strip_trailers(named);
    Ok(Reply::Upstream(response))
}

/// Where the proxy presents the user's credential, only those may pass who know the secret. Says
/// whether the request has passed such a gate.
fn pass_gate(session: &Session, request: &mut Request<Incoming>) -> Result<bool, Failure> {
    let Some(gate) = &session.proxy.options.gate else {
        return Ok(false);
    };
    let presented = request.headers_mut().remove(header::AUTHORIZATION);
    let expected = gate.expected.as_bytes();
    if presented.is_none_or(|value| verify_slices_are_equal(value.as_bytes(), expected).is_err()) {
        return Err(Failure::Answer(OwnAnswer::refused(
            StatusCode::UNAUTHORIZED,
            "this listener serves one command only",
        )));
    }
    session.guard.note_authenticated();
    if let Some(authorization) = gate.authorization.load_full() {
        let value = HeaderValue::clone(&authorization);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    Ok(true)
}

impl SendError {
    pub(super) fn bad_response(what: &str) -> Self {
        Self {
            reason: Reason::BadResponse,
            message: format!("the API server's response is no answer: {what}"),
        }
    }

    /// What the client is told. A read can be repeated by it; a write that may have been done
    /// must not look as if it were not.
    pub(super) fn into_failure(self, method: &Method, is_watch: bool) -> Failure {
        if self.was_not_sent() {
            return Failure::Answer(OwnAnswer::unavailable(self.reason, self.message, is_watch));
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Failure::Silence(self.reason);
        }
        if is_watch && self.reason == Reason::UpstreamLost {
            return Failure::Answer(OwnAnswer::unavailable(self.reason, self.message, true));
        }
        Failure::Answer(OwnAnswer {
            status: StatusCode::BAD_GATEWAY,
            reason: self.reason,
            message: self.message,
            retry: self.reason != Reason::BadResponse,
            close: false,
        })
    }
}
