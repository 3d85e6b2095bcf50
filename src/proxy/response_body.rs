//! A response's body on its way to the client, booked as it passes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::sleep;

use super::{
    Proxy,
    body_end::{CutShort, is_connection_lost, is_cut_short},
    exchange::Exchange,
    headers,
};
use ledger::Ending;

/// A response's body on its way to the client.
pub(super) enum ResponseBody {
    /// The API server's, the version of HTTP it came by, and the exchange that its end closes.
    Upstream(Incoming, Version, Box<Exchange>),
    /// The same of a watch, which also ends when the proxy stops; `None` once its moment has come.
    Watch(Incoming, Version, Box<Exchange>, Option<EndOfWatch>),
    /// The proxy's own.
    Own(Full<Bytes>),
}

impl ResponseBody {
    pub(super) fn upstream(
        body: Incoming,
        version: Version,
        mut exchange: Exchange,
        proxy: &Arc<Proxy>,
    ) -> Self {
        close_at_end(&body, &mut exchange);
        let exchange = Box::new(exchange);
        if exchange.events.is_some() {
            Self::Watch(
                body,
                version,
                exchange,
                Some(end_of_watch(Arc::clone(proxy))),
            )
        } else {
            Self::Upstream(body, version, exchange)
        }
    }

    pub(super) fn empty() -> Self {
        Self::Own(Full::default())
    }
}

/// Comes when the proxy stops, at a moment of each watch's own, so that not all clients come back
/// at once.
type EndOfWatch = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

fn end_of_watch(proxy: Arc<Proxy>) -> EndOfWatch {
    Box::pin(async move {
        proxy.drain.cancelled().await;
        sleep(proxy.options.watch_drain.mul_f64(rand::random())).await;
    })
}

/// Whoever sends a body may stop asking once it knows that nothing is left.
fn close_at_end(body: &Incoming, exchange: &mut Exchange) {
    if body.is_end_stream() || body.size_hint().exact() == Some(0) {
        exchange.close(Ending::Complete);
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let (body, version, exchange) = match self.get_mut() {
            Self::Upstream(body, version, exchange) => (body, *version, exchange),
            Self::Watch(body, version, exchange, end) => {
                end.take_if(|end| end.as_mut().poll(context).is_ready());
                if end.is_none() && exchange.is_between_events() {
                    exchange.close(Ending::Dropped);
                    return Poll::Ready(None);
                }
                (body, *version, exchange)
            }
            Self::Own(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                return Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})));
            }
        };
        let mut frame = ready!(Pin::new(&mut *body).poll_frame(context));
        match &mut frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    exchange.sent(data.len() as u64);
                    if let Some(events) = &mut exchange.events {
                        events.read(data);
                    }
                    close_at_end(body, exchange);
                } else if let Some(trailers) = frame.trailers_mut() {
                    headers::prepare_response_trailers(trailers, &exchange.named);
                    // Nothing follows, and nobody asks for more.
                    exchange.close(Ending::Complete);
                }
            }
            Some(Err(error)) => {
                exchange.close(Ending::Failed);
                if exchange.is_between_events() && is_connection_lost(error) {
                    return Poll::Ready(None);
                }
            }
            None if is_cut_short(body, version) => {
                exchange.close(Ending::Failed);
                return Poll::Ready(Some(Err(CutShort::Other)));
            }
            None => exchange.close(Ending::Complete),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(CutShort::from)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Upstream(body, ..) | Self::Watch(body, ..) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Upstream(body, ..) | Self::Watch(body, ..) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
        }
    }
}
