//! Upgrades: exec, attach, port-forward, VNC, console. Each has an upstream connection of its own,
//! which is used for that one request and then closed, whatever the answer.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{session::Session, tunnel};
use crate::{
    accounting::{in_flight::InFlight, response_body::ResponseBody},
    downstream::permit::ConnectionPermit,
    upstream::{client, error::SendError, http1_sender::Http1Sender, target},
    wire::{
        framing,
        headers::{self, ConnectionHeader},
    },
};
use ledger::Ending;

/// What an upgraded connection may speak. `h2c` is not among them: behind it requests could be
/// smuggled past the books.
const PROTOCOLS: [&str; 2] = ["websocket", "SPDY/3.1"];

/// Whether the request is an upgrade as clients of Kubernetes make them; any other `Upgrade` is
/// taken off and the request goes on as a plain one.
pub(super) fn is_wanted(request: &Request<Incoming>, connection: &ConnectionHeader) -> bool {
    if !connection.upgrade {
        return false;
    }
    let headers = request.headers();
    let mut protocols = headers.get_all(header::UPGRADE).iter();
    let protocol = match (protocols.next(), protocols.next()) {
        (Some(protocol), None) => protocol.as_bytes(),
        _ => return false,
    };
    request.version() == Version::HTTP_11
        && matches!(*request.method(), Method::GET | Method::POST)
        && request.body().is_end_stream()
        && PROTOCOLS
            .iter()
            .any(|known| protocol.eq_ignore_ascii_case(known.as_bytes()))
}

/// What the API server answered to a request, whether it was for an upgrade or not.
pub(super) enum Reply {
    /// A response with a body.
    Response(Response<Incoming>),
    /// The switch to another protocol.
    Upgrade(AcceptedUpgrade),
}

/// The API server's response to an upgrade request: a refusal, or the switch to the protocol that
/// was asked for.
pub(super) struct UpgradeResponse {
    response: Response<Incoming>,
    client: OnUpgrade,
}

/// An upgrade that the API server accepted.
pub(super) struct AcceptedUpgrade {
    response: Response<()>,
    client: OnUpgrade,
    server: OnUpgrade,
}

/// Sends an upgrade request over a connection of its own.
pub(super) async fn send(
    session: &Session,
    mut request: Request<Incoming>,
    connection: &ConnectionHeader,
) -> Result<UpgradeResponse, SendError> {
    let client_upgrade = hyper::upgrade::on(&mut request);
    session.guard.set_answers_half_closed(false);
    let protocol = request.headers().get(header::UPGRADE).cloned();
    headers::prepare_request(request.headers_mut(), connection, &session.client);
    session.peer.identify(request.headers_mut());
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Some(protocol) = protocol.clone() {
        headers.insert(header::UPGRADE, protocol);
    }
    let dialled = session.upstream.dial_for_upgrade().await?;
    *request.uri_mut() = target::origin_form(request.uri(), &dialled.endpoint)?;
    let host = dialled.endpoint.host().clone();
    request.headers_mut().insert(header::HOST, host);
    let (sender, upstream) = client::http1_builder()
        .handshake(dialled.stream)
        .await
        .map_err(|error| SendError::after_sending(&error))?;
    let sender = Http1Sender::spawn(sender, upstream.with_upgrades());
    let (mut response, _) = sender
        .send(request)
        .await
        .map_err(|error| SendError::after_sending(error.error()))?;
    check(&response, protocol.as_ref())?;
    framing::check_response(response.headers_mut())
        .map_err(|flaw| SendError::bad_response(&flaw.to_string()))?;
    Ok(UpgradeResponse {
        response,
        client: client_upgrade,
    })
}

/// Only a refusal, or a switch to what was asked for, may come back: a redirect or a plain answer
/// could make the client's next bytes a request that is not checked.
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

impl UpgradeResponse {
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
            return Reply::Response(self.response);
        }
        let server = hyper::upgrade::on(&mut self.response);
        let (parts, _) = self.response.into_parts();
        Reply::Upgrade(AcceptedUpgrade {
            response: Response::from_parts(parts, ()),
            client: self.client,
            server,
        })
    }
}

impl AcceptedUpgrade {
    /// Tells the client, and copies bytes both ways until both sides have ended. The tunnel keeps
    /// the connection's permit, and ends when the connection would be ended.
    pub(super) fn start(
        self,
        in_flight: InFlight,
        permit: Arc<ConnectionPermit>,
    ) -> Response<ResponseBody> {
        let (client, server) = (self.client, self.server);
        tokio::spawn(async move {
            let tunnel = tunnel(client, server, in_flight);
            permit.run_until_killed(tunnel).await;
        });
        self.response.map(|()| ResponseBody::empty())
    }
}

/// Shuts the client's connection down where an upgrade was asked for and is not given: the library
/// hands such a connection over at its end, whatever was answered, and does not shut it down. What
/// ends without TLS's close_notify looks cut short to clients.
pub(super) fn shut_down(client: OnUpgrade, permit: Arc<ConnectionPermit>) {
    tokio::spawn(async move {
        let end = async {
            if let Ok(client) = client.await {
                let _ = timeout(tunnel::LINGER, TokioIo::new(client).shutdown()).await;
            }
        };
        permit.run_until_killed(end).await;
    });
}

async fn tunnel(client: OnUpgrade, server: OnUpgrade, mut in_flight: InFlight) {
    let (Ok(client), Ok(server)) = tokio::join!(client, server) else {
        in_flight.close(Ending::Failed);
        return;
    };
    let (client, server) = (TokioIo::new(client), TokioIo::new(server));
    let received = |bytes| in_flight.add_request_bytes(bytes);
    let sent = |bytes| in_flight.add_response_bytes(bytes);
    let ending = tunnel::join(client, server, received, sent, tunnel::LINGER).await;
    in_flight.close(ending);
}
