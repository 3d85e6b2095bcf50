//! One downstream connection, from its handshake to its end.

use std::{future::poll_fn, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::service::service_fn;
use rustls::ServerConfig;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    counters::count,
    downstream::{
        handshake::{self, Accepted, Protocol, TlsConnection},
        handshake_slots::HandshakeSlots,
        peer::Peer,
        permit::ConnectionPermit,
        server::serve_http,
    },
    forward::{forward, passthrough, session::Session},
    proxy::Proxy,
    wakes::WhenWoken,
};

/// Longest TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that was accepted.
pub(crate) struct Connection {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) client: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) permit: Arc<ConnectionPermit>,
}

impl Connection {
    /// Serves it until its end.
    pub(crate) async fn serve(
        self,
        stream: TcpStream,
        tls: Arc<ServerConfig>,
        handshakes: &Arc<HandshakeSlots>,
    ) {
        if let Err(error) = handshake::set_socket_options(&stream) {
            tracing::debug!(%error, "cannot set socket options");
        }
        let accepted = {
            let handshake = self.shake_hands(stream, tls, handshakes);
            timeout(HANDSHAKE_TIMEOUT, handshake).await
        };
        match accepted {
            Ok(Ok(Accepted::Tls(stream))) => self.serve_tls(stream).await,
            Ok(Ok(Accepted::PassThrough(stream, hello))) => {
                passthrough::relay(&self.proxy, stream, hello).await;
            }
            Ok(Err(error)) => {
                count(&self.proxy.connections.handshakes_failed);
                tracing::debug!(client = %self.client, %error, "TLS handshake failed");
            }
            Err(_) => count(&self.proxy.connections.handshakes_failed),
        }
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
        tls: Arc<ServerConfig>,
        handshakes: &Arc<HandshakeSlots>,
    ) -> io::Result<Accepted> {
        if handshake::is_plain_http(&stream).await? {
            return handshake::refuse_plain_http(stream).await;
        }
        let slot = handshakes.acquire(self.client.ip()).await;
        let names = &self.proxy.options.sni_passthrough;
        handshake::accept(stream, tls, names, &slot).await
    }

    async fn serve_tls(self, stream: TlsConnection) {
        let verified = self.proxy.front_proxy.is_some();
        let peer = Peer::of(stream.get_ref().1.peer_certificates(), verified);
        let protocol = Protocol::of(&stream);
        let session = Arc::new(Session::new(
            Arc::clone(&self.proxy),
            self.client.ip(),
            peer,
            protocol,
            Arc::clone(&self.permit),
        ));
        let guard = Arc::clone(&session.guard);
        let service = service_fn(move |request| {
            // Boxed, so that its memory goes with the head of the response: hyper keeps the future
            // of a request as long as its stream, and watches last.
            Box::pin(forward(Arc::clone(&session), request))
        });
        let stop = self.stop.child_token();
        let mut serving = pin!(serve_http(stream, protocol, service, &guard, &stop));
        let serving = poll_fn(|context| {
            guard.begin_poll();
            serving.as_mut().poll(context)
        });
        let must_close = pin!(guard.must_close(&stop));
        tokio::select! {
            biased;
            served = serving => self.note_end(served, guard.has_refused_head()),
            // Also where the connection was asked to end and doesn't.
            () = WhenWoken::new(must_close) => {}
        }
    }

    fn note_end(&self, served: hyper::Result<()>, has_refused_head: bool) {
        let Err(error) = served else { return };
        if error.is_parse() || has_refused_head {
            count(&self.proxy.connections.unparsable);
        }
        tracing::debug!(client = %self.client, %error, "connection ended with an error");
    }
}
