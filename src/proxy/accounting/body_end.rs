//! How a body ends that does not come to its end.

use std::{error::Error as _, io};

use http::Version;
use http_body::Body;
use hyper::body::Incoming;

/// Whether a body that gives nothing more has not ended: the HTTP library takes some resets of a
/// stream of HTTP/2 for its end.
pub(super) fn is_cut_short(body: &Incoming, version: Version) -> bool {
    version == Version::HTTP_2 && !body.is_end_stream()
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CutShort {
    /// The stream was reset; the reason is passed on.
    #[error(transparent)]
    Reset(hyper::Error),
    /// The client reset its request while sending it.
    #[error("the client took the request back")]
    Request(#[source] h2::Error),
    /// Anything else, and resets whose reason would say that a request was never looked at, or
    /// that nothing is wrong.
    #[error("the body was cut short")]
    Other,
}

impl From<hyper::Error> for CutShort {
    fn from(error: hyper::Error) -> Self {
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        let is_honest = cause.is_some_and(|cause: &h2::Error| {
            let misleading = [
                h2::Reason::NO_ERROR,
                h2::Reason::REFUSED_STREAM,
                h2::Reason::HTTP_1_1_REQUIRED,
            ];
            let reason = cause.reason();
            cause.is_reset()
                && cause.is_remote()
                && reason.is_some_and(|reason| !misleading.contains(&reason))
        });
        if is_honest {
            Self::Reset(error)
        } else {
            Self::Other
        }
    }
}

/// Whether the API server's connection was lost, rather than this one stream reset or its bytes
/// broken. client-go's reflector goes on where it was after a watch that just ends, and after one
/// whose HTTP/1.1 connection is lost; a stream that is reset it takes for an error, and lists all.
pub(super) fn is_connection_lost(error: &hyper::Error) -> bool {
    let Some(cause) = error.source() else {
        return true;
    };
    if let Some(http2) = cause.downcast_ref::<h2::Error>() {
        return http2.is_io() || (http2.is_go_away() && http2.is_remote());
    }
    let broken = [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData];
    let io = cause.downcast_ref::<io::Error>();
    io.is_none_or(|io| !broken.contains(&io.kind()))
}
