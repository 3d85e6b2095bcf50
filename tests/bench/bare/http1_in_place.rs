//! HTTP/1.1 in one task: the upstream connection is polled where its response is waited for.

use std::{
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    server,
    service::service_fn,
};

use super::{Downstream, FromUpstream, Upstream};

/// An upstream connection that nobody polls but who uses it.
struct Connection {
    sender: SendRequest<Incoming>,
    connection: http1::Connection<FromUpstream, Incoming>,
}

/// Where it waits for the next request.
type Slot = Arc<Mutex<Option<Connection>>>;

pub async fn http1(stream: Downstream, upstream: &Upstream) {
    let (sender, connection) = http1::handshake(upstream.connect().await).await.unwrap();
    let slot = Arc::new(Mutex::new(Some(Connection { sender, connection })));
    let service = service_fn(move |request| send(Arc::clone(&slot), request));
    // However it ends, the clients say what matters.
    let _ = server::conn::http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}

async fn send(slot: Slot, request: Request<Incoming>) -> hyper::Result<Response<InPlace>> {
    let open = slot.lock().unwrap().take();
    let Connection {
        mut sender,
        mut connection,
    } = open.unwrap();
    std::future::poll_fn(|context| {
        let _ = Pin::new(&mut connection).poll(context);
        sender.poll_ready(context)
    })
    .await?;
    let response = {
        let mut response = pin!(sender.send_request(request));
        std::future::poll_fn(|context| {
            let _ = Pin::new(&mut connection).poll(context);
            response.as_mut().poll(context)
        })
        .await?
    };
    Ok(response.map(|body| InPlace {
        body,
        open: Some(Connection { sender, connection }),
        slot,
    }))
}

/// A response's body, whose connection is polled first.
struct InPlace {
    body: Incoming,
    open: Option<Connection>,
    slot: Slot,
}

impl Drop for InPlace {
    fn drop(&mut self) {
        *self.slot.lock().unwrap() = self.open.take();
    }
}

impl Body for InPlace {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if let Some(open) = &mut this.open {
            let _ = Pin::new(&mut open.connection).poll(context);
        }
        Pin::new(&mut this.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
