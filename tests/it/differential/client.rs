//! A client of either protocol, over one connection as long as that lasts.

use std::time::Duration;

use bytes::Bytes;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;

use super::{
    Message,
    generate::Request,
    http1::{self, Wire, value},
    http2,
};
use crate::kit::client::Target;

const LONGEST: Duration = Duration::from_secs(20);

/// A client's connection, made when it is needed.
pub(super) enum Client {
    Http1(Option<Box<Wire<TlsStream<TcpStream>>>>),
    Http2(Option<h2::client::SendRequest<Bytes>>),
}

impl Client {
    pub(super) fn new(http2: bool) -> Self {
        if http2 {
            Self::Http2(None)
        } else {
            Self::Http1(None)
        }
    }

    /// Sends a request with that `X-Case` and gives the answer; why there is none, otherwise.
    pub(super) async fn ask(
        &mut self,
        target: &Target,
        request: &Request,
        id: &str,
    ) -> Result<Message, String> {
        let host = &target.address;
        let answer = match self {
            Self::Http1(slot) => {
                if slot.is_none() {
                    let stream = target.connect("http/1.1").await.unwrap();
                    *slot = Some(Box::new(Wire::new(stream)));
                }
                let wire = slot.as_mut().unwrap();
                let asked = timeout(LONGEST, http1::ask(wire, request, host, id)).await;
                let answer = asked.map_err(|_| "no answer in time".to_owned());
                answer.and_then(|answer| answer.map_err(|error| error.to_string()))
            }
            Self::Http2(slot) => {
                if slot.is_none() {
                    *slot = Some(connect_http2(target).await);
                }
                let asked = http2::ask(slot.as_ref().unwrap(), request, host, id);
                let answer = timeout(LONGEST, asked)
                    .await
                    .map_err(|_| "no answer in time".to_owned());
                answer.and_then(|answer| answer.map_err(|error| error.to_string()))
            }
        };
        // A server that answered before the body came closes; others say so.
        let closes = |answer: &Message| value(&answer.lines, "connection") == Some("close");
        if request.expects || answer.as_ref().map_or(true, closes) {
            *self = match self {
                Self::Http1(_) => Self::Http1(None),
                Self::Http2(_) => Self::Http2(None),
            };
        }
        answer
    }
}

async fn connect_http2(target: &Target) -> h2::client::SendRequest<Bytes> {
    let stream = target.connect("h2").await.unwrap();
    let (sender, connection) = h2::client::Builder::new()
        .max_header_list_size(1 << 20)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(16 << 20)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}
