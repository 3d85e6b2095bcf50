//! The life of a request: booked, checked, sent, answered.

mod answer;
mod failure;
pub(crate) mod passthrough;
pub(crate) mod session;
mod tunnel;
mod upgrade;

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};

use crate::{
    accounting::{
        call::name_call,
        in_flight::{InFlight, RequestFacts},
        reading::Wanted,
        response_body::ResponseBody,
    },
    counters::count,
    downstream::{guard::RequestGuard, heads},
    upstream::{connections::Repeats, error::SendError},
    wire::{
        framing,
        headers::{self, ConnectionHeader},
    },
};
use answer::OwnAnswer;
use classify::TargetError;
use failure::Failure;
use identity::{client::Client, proof::RequestKind};
use ledger::Reason;
use session::Session;
use upgrade::Reply;

/// Ends the stream (HTTP/2) or the connection (HTTP/1.1) without an answer: the request may have
/// reached the API server, and no answer of ours could be true.
#[derive(Debug, thiserror::Error)]
#[error("no answer can be given: the request may have been processed")]
pub(crate) struct NoAnswer;

/// Forwards one request.
pub(crate) async fn forward(
    session: Arc<Session>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, NoAnswer> {
    let guard = session.guard.begin_request();
    let flaw = framing::check_request(request.version(), request.headers_mut()).err();
    let flaw = guard.flaw().or(flaw);
    let client = session.client(request.headers());
    if !session.guard.is_authenticated() && client.is_known() {
        session.guard.note_authenticated();
    }
    let cost = if session.guard.is_authenticated() {
        0
    } else {
        heads::cost(&request)
    };
    let within_budget = session.guard.add_head(cost);
    let version = request.version();
    let upgrade = request.extensions().get::<OnUpgrade>().cloned();
    let (mut in_flight, is_watch, target_error) = open(&session, client, guard, &request);
    let replied = match (flaw, within_budget) {
        (Some(flaw), _) => Err(Failure::refused(StatusCode::BAD_REQUEST, flaw.to_string())),
        (None, Err(error)) => Err(Failure::Answer(OwnAnswer::unavailable(
            Reason::Refused,
            error.to_string(),
            is_watch,
        ))),
        (None, Ok(())) => reply(&session, request, &mut in_flight, is_watch, target_error).await,
    };
    if let Some(client) = upgrade
        && !matches!(replied, Ok(Reply::Upgrade(_)))
    {
        upgrade::shut_down(client, Arc::clone(&session.permit));
    }
    session.guard.note_answer(cost);
    match replied {
        Ok(Reply::Response(mut response)) => {
            session.close_if_draining(&mut response);
            let (version, drain) = (response.version(), &session.proxy.drain);
            Ok(response.map(|body| ResponseBody::upstream(body, version, in_flight, drain)))
        }
        Ok(Reply::Upgrade(accepted)) => Ok(accepted.start(in_flight, Arc::clone(&session.permit))),
        Err(Failure::Answer(answer)) => {
            in_flight.unanswered(answer.reason);
            let mut response = answer.into_response(version);
            session.close_if_draining(&mut response);
            Ok(response.map(ResponseBody::Own))
        }
        Err(Failure::Silence(reason)) => {
            in_flight.unanswered(reason);
            Err(NoAnswer)
        }
    }
}

/// Opens the request's entry in the ledger. Also says whether it is a watch, and what is wrong with
/// its target.
fn open(
    session: &Session,
    client: Arc<Client>,
    guard: RequestGuard,
    request: &Request<Incoming>,
) -> (InFlight, bool, Option<TargetError>) {
    let (method, uri) = (request.method(), request.uri());
    let proxy = &session.proxy;
    let stream = session.numbers.next();
    let keeps_lines = proxy.books.keeps_lines();
    name_call(method, uri, |name, target| {
        let entry = proxy.books.open(name, client.is_known());
        let facts = RequestFacts {
            client,
            method: method.clone(),
            uri: uri.clone(),
            kind: RequestKind::of(name),
            is_watch: name.verb == "watch",
        };
        session
            .guard
            .set_answers_half_closed(!target.is_long_running);
        let is_watch = facts.is_watch;
        let head = keeps_lines.then(|| {
            let wanted = Wanted::of(name, &proxy.options.journal_never);
            session.numbers.head(stream, request.headers(), wanted)
        });
        let in_flight = InFlight::new(entry, guard, facts, head);
        (in_flight, is_watch, target.error)
    })
}

/// Checks a request and sends it on.
async fn reply(
    session: &Session,
    mut request: Request<Incoming>,
    in_flight: &mut InFlight,
    is_watch: bool,
    target_error: Option<TargetError>,
) -> Result<Reply, Failure> {
    if *request.method() == Method::CONNECT {
        let message = "CONNECT is not for an API server";
        return Err(Failure::refused(StatusCode::METHOD_NOT_ALLOWED, message));
    }
    let bad_request = |message: String| Failure::refused(StatusCode::BAD_REQUEST, message);
    if let Some(error) = target_error {
        return Err(bad_request(error.to_string()));
    }
    let connection = ConnectionHeader::read(request.headers())
        .map_err(|error| bad_request(error.to_string()))?;
    let presented = pass_gate(session, request.headers_mut()).await?;
    if presented.is_some() {
        in_flight.vouch();
    }
    let is_upgrade = upgrade::is_wanted(&request, &connection);
    if let Some(why) = session.peer.refusal(request.headers(), is_upgrade) {
        count(&session.proxy.connections.certificates_refused);
        return Err(Failure::refused(StatusCode::UNAUTHORIZED, why.to_string()));
    }
    let method = request.method().clone();
    let is_one_command = session.proxy.options.gate.is_some();
    let failure = |error, is_watch| match Failure::of(error, &method, is_watch) {
        failure if is_one_command => failure.at_once(),
        failure => failure,
    };
    if is_upgrade {
        let response = upgrade::send(session, request, &connection).await;
        let response = response.map_err(|error| failure(error, false).closing())?;
        note_refusal(session, presented, response.status());
        in_flight.answered(response.status(), response.headers());
        return Ok(response.into_reply());
    }
    let response = send(session, request, connection, in_flight).await;
    let mut response = response.map_err(|error| failure(error, is_watch))?;
    note_refusal(session, presented, response.status());
    in_flight.answered(response.status(), response.headers());
    in_flight.set_connection_names(headers::prepare_response(response.headers_mut()));
    Ok(Reply::Response(response))
}

/// Sends a request that is no upgrade.
async fn send(
    session: &Session,
    mut request: Request<Incoming>,
    connection: ConnectionHeader,
    in_flight: &mut InFlight,
) -> Result<Response<Incoming>, SendError> {
    headers::prepare_request(request.headers_mut(), &connection, &session.client);
    session.peer.identify(request.headers_mut());
    let (version, names) = (request.version(), connection.into_names());
    let bodies = &session.proxy.kept_bodies;
    let request = request.map(|body| in_flight.count_request_body(body, version, names, bodies));
    let mut response = session.upstream.send(request).await?;
    if let Some(Repeats(repeats)) = response.extensions_mut().remove() {
        in_flight.note_repeats(repeats);
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it: what follows is not HTTP.
        return Err(SendError::bad_response("an upgrade that nobody asked for"));
    }
    framing::check_response(response.headers_mut())
        .map_err(|flaw| SendError::bad_response(&flaw.to_string()))?;
    Ok(response)
}

/// Where the proxy presents the user's credential, a request must have the gate's token. Gives the
/// number of what is presented in its place, if there is a gate, which the request has passed then.
async fn pass_gate(session: &Session, headers: &mut HeaderMap) -> Result<Option<u64>, Failure> {
    let Some(gate) = &session.proxy.options.gate else {
        return Ok(None);
    };
    let unauthorized = |message: &str| Failure::refused(StatusCode::UNAUTHORIZED, message);
    let shown = headers.remove(header::AUTHORIZATION);
    let expected = gate.expected.as_bytes();
    if shown.is_none_or(|value| verify_slices_are_equal(value.as_bytes(), expected).is_err()) {
        return Err(unauthorized("this listener serves one command only"));
    }
    session.guard.note_authenticated();
    let presented = gate.credential.present().await;
    let presented = presented.map_err(|why| unauthorized(&why))?;
    if let Some(authorization) = presented.authorization {
        headers.insert(header::AUTHORIZATION, authorization);
    }
    Ok(Some(presented.serial))
}

/// A credential that the API server no longer takes may have a successor.
fn note_refusal(session: &Session, presented: Option<u64>, status: StatusCode) {
    if let (Some(gate), Some(serial)) = (&session.proxy.options.gate, presented)
        && status == StatusCode::UNAUTHORIZED
    {
        gate.credential.refused(serial);
    }
}
