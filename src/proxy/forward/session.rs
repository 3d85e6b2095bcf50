//! What the requests of one downstream connection share.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderMap, HeaderValue, Response, header::CONNECTION};

use crate::{
    accounting::recording::Numbers,
    downstream::{
        guard::ConnectionGuard, handshake::Protocol, peer::Peer, permit::ConnectionPermit,
    },
    proxy::Proxy,
    upstream::connections::UpstreamConnections,
    wire::headers::ClientAddress,
};
use identity::client::{Client, ClientNames};

/// A downstream connection.
pub(crate) struct Session {
    pub(super) proxy: Arc<Proxy>,
    pub(super) client: ClientAddress,
    pub(super) peer: Peer,
    pub(super) permit: Arc<ConnectionPermit>,
    pub(crate) guard: Arc<ConnectionGuard>,
    pub(super) upstream: UpstreamConnections,
    pub(super) numbers: Numbers,
    names: Mutex<ClientNames>,
    protocol: Protocol,
}

impl Session {
    pub(crate) fn new(
        proxy: Arc<Proxy>,
        client: IpAddr,
        peer: Peer,
        protocol: Protocol,
        permit: Arc<ConnectionPermit>,
    ) -> Self {
        let user = match &peer {
            Peer::Named(peer) => Some(peer.user.as_str().into()),
            Peer::Unnamed | Peer::Unusable(_) => None,
        };
        let guard = ConnectionGuard::new(Arc::clone(&proxy.heads));
        if user.is_some() {
            // By its certificate.
            guard.note_authenticated();
        }
        // What the proxy says of a user by headers goes only over connections on which it may say
        // so, and nothing else goes over those.
        let dialer = match (&peer, &proxy.front_proxy) {
            (Peer::Named(_), Some(front_proxy)) => front_proxy,
            _ => &proxy.dialer,
        };
        let upstream = UpstreamConnections::new(
            Arc::clone(dialer),
            Arc::clone(&proxy.connections),
            Arc::clone(&guard),
            protocol,
        );
        Self {
            numbers: proxy.recorder.connection(),
            proxy,
            client: ClientAddress::new(client),
            peer,
            permit,
            guard,
            upstream,
            names: Mutex::new(ClientNames::new(user)),
            protocol,
        }
    }

    /// While the proxy or the connection drains, every HTTP/1.1 response says `Connection: close`.
    pub(super) fn close_if_draining<B>(&self, response: &mut Response<B>) {
        let is_draining = self.proxy.drain.has_begun() || self.guard.is_draining();
        if self.protocol == Protocol::Http1 && is_draining {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
    }

    /// The client that sent these headers.
    pub(super) fn client(&self, headers: &HeaderMap) -> Arc<Client> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.client(headers, &self.proxy.clients)
    }
}
