//! Why a request got no response of the API server.

use std::error::Error;

use super::dial_error::DialError;
use ledger::Reason;

/// Why a request got no response.
#[derive(Debug)]
pub(crate) struct SendError {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl From<DialError> for SendError {
    fn from(error: DialError) -> Self {
        Self {
            reason: error.reason,
            message: error.to_string(),
        }
    }
}

impl SendError {
    /// What came is nothing that may be passed on.
    pub(crate) fn bad_response(what: &str) -> Self {
        Self {
            reason: Reason::BadResponse,
            message: format!("the API server's response is no answer: {what}"),
        }
    }

    pub(super) fn always_ended() -> Self {
        Self {
            reason: Reason::Unprocessed,
            message: "the API server ends each connection of a client without a credential: \
                connect again"
                .to_owned(),
        }
    }

    /// Whether the request provably never reached the API server.
    pub(crate) fn was_not_sent(&self) -> bool {
        matches!(
            self.reason,
            Reason::Connect | Reason::Tls | Reason::Unprocessed
        )
    }

    /// A body that was not kept was partly sent when the server closed. A server has been seen to
    /// answer such a request, so no client is told that it was not sent.
    pub(super) fn into_lost(self) -> Self {
        Self {
            reason: Reason::UpstreamLost,
            ..self
        }
    }

    pub(super) fn handshake(error: &hyper::Error) -> Self {
        Self {
            reason: Reason::Connect,
            message: format!("the API server's connection was lost at once: {error}"),
        }
    }

    pub(super) fn unprocessed() -> Self {
        Self {
            reason: Reason::Unprocessed,
            message: "each connection to the API server was closed before the request was sent"
                .to_owned(),
        }
    }

    /// With the path of the API server's URL before it.
    pub(super) fn target_too_long() -> Self {
        Self {
            reason: Reason::Unprocessed,
            message: "the target is too long with the path of the API server's URL before it"
                .to_owned(),
        }
    }

    /// What hyper says of a request that was handed to it, or of its response.
    pub(crate) fn after_sending(error: &hyper::Error) -> Self {
        let http2 = error
            .source()
            .and_then(|cause| cause.downcast_ref::<h2::Error>());
        // h2 gives the GOAWAY itself only to streams behind the last one that the server looked at;
        // the others see the connection's end.
        let refused = http2.is_some_and(|cause| {
            cause.is_remote()
                && (cause.is_go_away() || cause.reason() == Some(h2::Reason::REFUSED_STREAM))
        });
        let reason = if refused {
            Reason::Unprocessed
        } else if error.is_user() {
            Reason::RequestBody
        } else if error.is_parse() {
            Reason::BadResponse
        } else {
            Reason::UpstreamLost
        };
        Self {
            reason,
            message: format!("no response from the API server: {error}"),
        }
    }
}
