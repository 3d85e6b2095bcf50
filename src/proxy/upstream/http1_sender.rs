//! Requests onto an HTTP/1.1 connection.

use std::pin::pin;

use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use tokio::task::JoinHandle;

/// What requests are given to, and the connection that takes them.
///
/// A request that is handed over in the moment in which the connection ends can stay in the channel
/// between the two (tokio's, whose receiver empties it but for what is just being put in). It comes
/// back when the last sender is dropped, so nobody may wait for its response with a sender in hand.
pub(crate) struct Http1Sender<B> {
    sender: http1::SendRequest<B>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl<B: Body + 'static> Http1Sender<B> {
    /// Runs `connection`, which belongs to `sender`.
    pub(crate) fn spawn(
        sender: http1::SendRequest<B>,
        connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
    ) -> Self {
        let connection = tokio::spawn(connection);
        Self { sender, connection }
    }

    /// Whether a request would go out at once.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether no request goes out any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until a request would go out at once, which it never will if this is an error.
    pub(crate) async fn ready(&mut self) -> hyper::Result<()> {
        self.sender.ready().await
    }

    /// Sends a request. Its response comes with the sender for the next one, unless the connection
    /// has ended; its error has the request where nothing of it was sent.
    pub(crate) async fn send(
        mut self,
        request: Request<B>,
    ) -> Result<(Response<Incoming>, Option<Self>), TrySendError<Request<B>>> {
        let mut response = pin!(self.sender.try_send_request(request));
        tokio::select! {
            biased;
            response = &mut response => return response.map(|response| (response, Some(self))),
            _ = &mut self.connection => drop(self.sender),
        }
        response.await.map(|response| (response, None))
    }
}
