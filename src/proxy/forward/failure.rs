//! What a client gets where there is no response of the API server.

use http::{Method, StatusCode};

use super::answer::OwnAnswer;
use crate::upstream::error::SendError;
use ledger::Reason;

/// Why a request ends without the API server's response.
pub(super) enum Failure {
    /// The proxy says why.
    Answer(OwnAnswer),
    /// The proxy says nothing.
    Silence(Reason),
}

impl Failure {
    /// The request is nothing that may be forwarded.
    pub(super) fn refused(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Answer(OwnAnswer::refused(status, message))
    }

    /// What the client is told of a request that got no response. A read can be repeated by it; a
    /// write that may have been done must not look as if it were not.
    pub(super) fn of(error: SendError, method: &Method, is_watch: bool) -> Self {
        let was_not_sent = error.was_not_sent();
        let SendError { reason, message } = error;
        if was_not_sent {
            return Self::Answer(OwnAnswer::unavailable(reason, message, is_watch));
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Self::Silence(reason);
        }
        if is_watch && reason == Reason::UpstreamLost {
            return Self::Answer(OwnAnswer::unavailable(reason, message, true));
        }
        Self::Answer(OwnAnswer {
            status: StatusCode::BAD_GATEWAY,
            reason,
            message,
            retry: reason != Reason::BadResponse,
            close: false,
        })
    }

    /// The same for a client whose command ends without a proxy as soon as the API server can't be
    /// reached: on `Retry-After` client-go would try ten times more, a second apart.
    pub(super) fn at_once(self) -> Self {
        match self {
            Self::Answer(answer) => {
                let is_dial = matches!(answer.reason, Reason::Connect | Reason::Tls);
                let retry = answer.retry && !is_dial;
                Self::Answer(OwnAnswer { retry, ..answer })
            }
            Self::Silence(reason) => Self::Silence(reason),
        }
    }

    /// The same, and the connection closes: who asked for an upgrade may have sent on already.
    pub(super) fn closing(self) -> Self {
        match self {
            Self::Answer(answer) => Self::Answer(OwnAnswer {
                close: true,
                ..answer
            }),
            Self::Silence(reason) => Self::Silence(reason),
        }
    }
}
