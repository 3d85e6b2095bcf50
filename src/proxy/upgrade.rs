//! Upgrades: exec, attach, port-forward, VNC, console. Each has an upstream connection of its own,
//! which is used for that one request and then closed, whatever the answer.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    accept::Place,
    exchange::Exchange,
    forward::Reply,
    framing,
    headers::{self, ConnectionHeader},
    response_body::ResponseBody,
    session::{SendError, Session},
    target, tuning, tunnel,
};
use ledger::Ending;

/// What an upgraded connection may speak. `h2c` is not among them: behind it requests could be
/// smuggled past the books.
const PROTOCOLS: [&str; 2] = ["websocket", "SPDY/3.1"];

/// Whether the request is an upgrade as clients of Kubernetes make them; any other `Upgrade` is
/// taken off and the request goes on as a plain one.
pub(super) fn is_wanted(request: &Request<Incoming>, connection: &ConnectionHeader) -> bool {
    let headers = request.headers();
    let mut protocols = headers.get_all(header::UPGRADE).iter();
    let protocol = match (protocols.next(), protocols.next()) {
        (Some(protocol), None) => protocol.as_bytes(),
        _ => return false,
    };
    connection.upgrade
        && request.version() == Version::HTTP_11
        && matches!(*request.method(), Method::GET | Method::POST)
        && request.body().is_end_stream()
        && PROTOCOLS
            .iter()
            .any(|known| protocol.eq_ignore_ascii_case(known.as_bytes()))
}

/// The API server's answer to an upgrade request.
pub(super) struct Asked {
    response: Response<Incoming>,
    client: OnUpgrade,
}

/// An upgrade that the API server accepted.
pub(super) struct Accepted {
    response: Response<()>,
    client: OnUpgrade,
    server: OnUpgrade,
}

/// Sends an upgrade request over a connection of its own.
pub(super) async fn ask(
    session: &Session,
    mut request: Request<Incoming>,
    connection: &ConnectionHeader,
) -> Result<Asked, SendError> {
    let client = hyper::upgrade::on(&mut request);
    session.guard.answer_half_closed(false);
    let protocol = request.headers().get(header::UPGRADE).cloned();
    headers::prepare_request(request.headers_mut(), connection, session.client);
    session.peer.identify(request.headers_mut());
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Some(protocol) = protocol.clone() {
        headers.insert(header::UPGRADE, protocol);
    }
    let uri = target::origin_form(request.uri());
    *request.uri_mut() = uri;
    let dialled = session.dial_for_upgrade().await?;
    let host = dialled.endpoint.host().clone();
    request.headers_mut().insert(header::HOST, host);
    let (mut sender, upstream) = tuning::client_http1()
        .handshake(dialled.stream)
        .await
        .map_err(|error| SendError::after_sending(&error))?;
    tokio::spawn(upstream.with_upgrades());
    let mut response = sender
        .send_request(request)
        .await
        .map_err(|error| SendError::after_sending(&error))?;
    check(&response, protocol.as_ref())?;
    framing::check_response(response.headers_mut())
        .map_err(|flaw| SendError::bad_response(&flaw.to_string()))?;
    Ok(Asked { response, client })
}

/// Only a refusal, or a switch to what was asked for, may come back: a redirect or a plain answer
/// could make the client's next bytes a request that nobody checks.
fn check(response: &Response<Incoming>, wanted: Option<&HeaderValue>) -> Result<(), SendError> {
    let status = response.status();
    let switched = response.headers().get(header::UPGRADE).zip(wanted);
    let as_wanted =
        switched.is_some_and(|(one, other)| one.as_bytes().eq_ignore_ascii_case(other.as_bytes()));
    match status {
        StatusCode::SWITCHING_PROTOCOLS if as_wanted => Ok(()),
        StatusCode::SWITCHING_PROTOCOLS => Err(SendError::bad_response(
            "a switch to another protocol than asked for",
        )),
        _ if status.is_client_error() || status.is_server_error() => Ok(()),
        _ => Err(SendError::bad_response("neither an upgrade nor a refusal")),
    }
}

impl Asked {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &http::HeaderMap {
        self.response.headers()
    }

    /// The refusal, after which the client's connection closes, or the accepted upgrade.
    pub(super) fn into_reply(mut self) -> Reply {
        if self.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            headers::prepare_response(self.response.headers_mut());
            let close = HeaderValue::from_static("close");
            self.response
                .headers_mut()
                .insert(header::CONNECTION, close);
            return Reply::Upstream(self.response);
        }
        let server = hyper::upgrade::on(&mut self.response);
        let (parts, _) = self.response.into_parts();
        Reply::Upgrade(Accepted {
            response: Response::from_parts(parts, ()),
            client: self.client,
            server,
        })
    }
}

impl Accepted {
    /// Tells the client, and copies bytes both ways until both sides have ended. The tunnel keeps
    /// the connection's place, and ends when the connection would be ended.
    pub(super) fn start(self, exchange: Exchange, place: Arc<Place>) -> Response<ResponseBody> {
        let (client, server) = (self.client, self.server);
        tokio::spawn(async move {
            let tunnel = tunnel(client, server, exchange);
            place.until_killed(tunnel).await;
        });
        self.response.map(|()| ResponseBody::empty())
    }
}

/// Ends the client's connection as TLS ends one, where an upgrade was asked for and is not given:
/// the library hands such a connection over at its end, whatever was answered, and does not shut
/// it down. What ends without a farewell looks cut short to clients.
pub(super) fn end_well(client: OnUpgrade, place: Arc<Place>) {
    tokio::spawn(async move {
        let end = async {
            if let Ok(client) = client.await {
                let _ = timeout(tunnel::LINGER, TokioIo::new(client).shutdown()).await;
            }
        };
        place.until_killed(end).await;
    });
}

async fn tunnel(client: OnUpgrade, server: OnUpgrade, mut exchange: Exchange) {
    let (Ok(client), Ok(server)) = tokio::join!(client, server) else {
        exchange.close(Ending::Failed);
        return;
    };
    let (client, server) = (TokioIo::new(client), TokioIo::new(server));
    let received = |bytes| exchange.received(bytes);
    let sent = |bytes| exchange.sent(bytes);
    let ending = tunnel::join(client, server, received, sent, tunnel::LINGER).await;
    exchange.close(ending);
}
