//! HTTP/2 by h2 without hyper: both connections and all their streams in one task.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::{RecvStream, SendStream, client, server};
use http::{Request, Response};
use tokio_rustls::server::TlsStream;

use super::{Downstream, Upstream};

type Accepted = server::Connection<TlsStream<tokio::net::TcpStream>, Bytes>;
type Forwarding = Pin<Box<dyn Future<Output = Result<(), h2::Error>> + Send>>;

pub async fn http2(stream: Downstream, upstream: &Upstream) {
    let (sender, connection) = client::handshake(upstream.connect().await.into_inner())
        .await
        .unwrap();
    let accepted = server::handshake(stream.into_inner()).await.unwrap();
    let mut task = Task {
        sender,
        connection: Box::pin(async { drop(connection.await) }),
        accepted,
        streams: FuturesUnordered::new(),
    };
    // However it ends, the clients say what matters.
    poll_fn(|context| task.poll(context)).await;
}

struct Task {
    sender: client::SendRequest<Bytes>,
    connection: Pin<Box<dyn Future<Output = ()> + Send>>,
    accepted: Accepted,
    streams: FuturesUnordered<Forwarding>,
}

impl Task {
    /// Until the client has left. The connections come after what is written to them.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut is_done = true;
            while let Poll::Ready(accepted) = self.accepted.poll_accept(context) {
                let Some(Ok((request, respond))) = accepted else {
                    return Poll::Ready(());
                };
                let sender = self.sender.clone();
                self.streams
                    .push(Box::pin(forward(request, respond, sender)));
                is_done = false;
            }
            let _ = self.connection.as_mut().poll(context);
            while let Poll::Ready(Some(_)) = self.streams.poll_next_unpin(context) {
                is_done = false;
            }
            if is_done {
                return Poll::Pending;
            }
        }
    }
}

async fn forward(
    request: Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    sender: client::SendRequest<Bytes>,
) -> Result<(), h2::Error> {
    let (head, body) = request.into_parts();
    let is_whole = body.is_end_stream();
    let mut sender = sender.ready().await?;
    let (response, to_upstream) = sender.send_request(Request::from_parts(head, ()), is_whole)?;
    if !is_whole {
        pass(body, to_upstream).await?;
    }
    let (head, body) = response.await?.into_parts();
    let is_whole = body.is_end_stream();
    let to_client = respond.send_response(Response::from_parts(head, ()), is_whole)?;
    if !is_whole {
        pass(body, to_client).await?;
    }
    Ok(())
}

/// Passes a body on, no faster than it is taken.
async fn pass(mut from: RecvStream, mut to: SendStream<Bytes>) -> Result<(), h2::Error> {
    let mut is_ended = false;
    while let Some(data) = from.data().await {
        let mut data = data?;
        from.flow_control().release_capacity(data.len())?;
        // What is empty is not sent: its end comes below.
        is_ended = from.is_end_stream() && !data.is_empty();
        to.reserve_capacity(data.len());
        while !data.is_empty() && to.capacity() < data.len() {
            let Some(capacity) = poll_fn(|context| to.poll_capacity(context)).await else {
                return Ok(());
            };
            let part = data.split_to(capacity?.min(data.len()));
            let is_last = is_ended && data.is_empty();
            to.send_data(part, is_last)?;
        }
        if !data.is_empty() {
            to.send_data(data, is_ended)?;
        }
    }
    if !is_ended {
        match from.trailers().await? {
            Some(trailers) => to.send_trailers(trailers)?,
            None => to.send_data(Bytes::new(), true)?,
        }
    }
    Ok(())
}
