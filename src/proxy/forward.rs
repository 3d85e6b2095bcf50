//! The life of a request: booked, checked, sent, answered.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::{
    answer::OwnAnswer,
    count, framing,
    guard::Visit,
    headers::{self, ConnectionHeader},
    heads,
    meter::{Exchange, ResponseBody},
    session::{SendError, Session},
    target::name_call,
    upgrade,
};
use crate::{classify::TargetError, ledger::Reason};

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

/// Forwards one request.
pub(super) async fn forward(
    session: Arc<Session>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, NoAnswer> {
    let visit = session.guard.visit();
    let flaw = framing::check(request.version(), request.headers()).err();
    let flaw = visit.flaw().or(flaw);
    let cost = heads::cost(&request);
    let room = session.guard.head_ends(cost);
    let version = request.version();
    let (mut exchange, is_watch, target_error) = open(&session, visit, &request);
    let responded = match (flaw, room) {
        (Some(flaw), _) => Err(refused(StatusCode::BAD_REQUEST, flaw.to_string())),
        (None, Err(error)) => Err(Failure::Answer(OwnAnswer::unavailable(
            Reason::Refused,
            error.to_string(),
            is_watch,
        ))),
        (None, Ok(())) => respond(&session, request, &mut exchange, is_watch, target_error).await,
    };
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
    visit: Visit,
    request: &Request<Incoming>,
) -> (Exchange, bool, Option<TargetError>) {
    let client = session.client_name(request.headers());
    let (method, uri) = (request.method(), request.uri());
    name_call(method, uri, |name, error| {
        let entry = session.proxy.books.open(name);
        let mut exchange = Exchange::new(entry, client, visit, method.clone(), uri.clone());
        let is_watch = name.verb == "watch";
        if is_watch {
            exchange.is_watch();
        }
        (exchange, is_watch, error)
    })
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
    pass_gate(session, &mut request)?;
    let is_upgrade = upgrade::is_wanted(&request, &connection);
    if let Some(why) = session.peer.refusal(request.headers(), is_upgrade) {
        count(&session.proxy.connections.certificates_refused);
        return Err(refused(StatusCode::UNAUTHORIZED, why.to_owned()));
    }
    let method = request.method().clone();
    let has_credential = request.headers().contains_key(header::AUTHORIZATION);
    if is_upgrade {
        let accepted = upgrade::ask(session, request, &connection).await;
        let response = accepted.map_err(|error| error.into_failure(&method, false))?;
        exchange.answered(response.status(), response.headers());
        note_authenticated(session, has_credential, response.status());
        return Ok(response.into_reply());
    }
    headers::prepare_request(request.headers_mut(), &connection, session.client);
    session.peer.identify(request.headers_mut());
    let version = request.version();
    let request = request.map(|body| exchange.meter(body, version));
    let sent = session.send(request).await;
    let mut response = sent.map_err(|error| error.into_failure(&method, is_watch))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it: what follows is not HTTP.
        let error = SendError::bad_response("an upgrade that nobody asked for");
        return Err(error.into_failure(&method, is_watch));
    }
    framing::check_response(response.headers()).map_err(|flaw| {
        SendError::bad_response(&flaw.to_string()).into_failure(&method, is_watch)
    })?;
    exchange.answered(response.status(), response.headers());
    note_authenticated(session, has_credential, response.status());
    headers::prepare_response(response.headers_mut());
    Ok(Reply::Upstream(response))
}

/// Notes that the API server has taken the request's credential for a good one.
fn note_authenticated(session: &Session, has_credential: bool, status: StatusCode) {
    let proves_nothing = matches!(status.as_u16(), 400 | 401 | 429) || status.is_server_error();
    if has_credential && !proves_nothing {
        session.guard.note_authenticated();
    }
}

/// Where the proxy presents the user's credential, only those may pass who know the secret.
fn pass_gate(session: &Session, request: &mut Request<Incoming>) -> Result<(), Failure> {
    let Some(gate) = &session.proxy.options.gate else {
        return Ok(());
    };
    let presented = request.headers_mut().remove(header::AUTHORIZATION);
    if presented.as_ref() != Some(&gate.expected) {
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
    Ok(())
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
        })
    }
}
