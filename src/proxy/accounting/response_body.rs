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

use super::{
    body_end::{CutShort, is_connection_lost, is_cut_short},
    in_flight::InFlight,
};
use crate::{drain::Drain, wakes::WhenWoken, wire::headers};
use ledger::Ending;

/// A response's body on its way to the client.
pub(crate) enum ResponseBody {
    /// The API server's, the version of HTTP it came by, and the request that its end closes.
    Upstream(Incoming, Version, Box<InFlight>),
    /// The same of a watch, which also ends when the proxy drains; `None` once its moment has come.
    Watch(Incoming, Version, Box<InFlight>, Option<EndOfWatch>),
    /// The proxy's own.
    Own(Full<Bytes>),
}

impl ResponseBody {
    pub(crate) fn upstream(
        body: Incoming,
        version: Version,
        mut in_flight: InFlight,
        drain: &Arc<Drain>,
    ) -> Self {
        close_at_end(&body, &mut in_flight);
        let in_flight = Box::new(in_flight);
        if in_flight.events.is_some() {
            let drain = Arc::clone(drain);
            let end = Box::pin(async move { drain.end_of_watch().await });
            let end: EndOfWatch = WhenWoken::new(end);
            Self::Watch(body, version, in_flight, Some(end))
        } else {
            Self::Upstream(body, version, in_flight)
        }
    }

    pub(crate) fn empty() -> Self {
        Self::Own(Full::default())
    }
}

/// [`Drain::end_of_watch`].
type EndOfWatch = WhenWoken<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>;

/// Whoever sends a body may stop asking once it knows that nothing is left.
fn close_at_end(body: &Incoming, in_flight: &mut InFlight) {
    if body.is_end_stream() || body.size_hint().exact() == Some(0) {
        in_flight.close(Ending::Complete);
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let (body, version, in_flight) = match self.get_mut() {
            Self::Upstream(body, version, in_flight) => (body, *version, in_flight),
            Self::Watch(body, version, in_flight, end) => {
                end.take_if(|end| Pin::new(end).poll(context).is_ready());
                if end.is_none() && in_flight.is_between_events() {
                    in_flight.close(Ending::Dropped);
                    return Poll::Ready(None);
                }
                (body, *version, in_flight)
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
                    in_flight.read_response(data);
                    close_at_end(body, in_flight);
                } else if let Some(trailers) = frame.trailers_mut() {
                    headers::prepare_response_trailers(trailers, &in_flight.connection_names);
                    // Nothing follows, and hyper asks for nothing more.
                    in_flight.close(Ending::Complete);
                }
            }
            Some(Err(error)) => {
                in_flight.close(Ending::Failed);
                if in_flight.is_between_events() && is_connection_lost(error) {
                    return Poll::Ready(None);
                }
            }
            None if is_cut_short(body, version) => {
                in_flight.close(Ending::Failed);
                return Poll::Ready(Some(Err(CutShort::Other)));
            }
            None => in_flight.close(Ending::Complete),
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
