//! Why the API server can't be reached, in words.

use std::{error::Error as StdError, time::Instant};

use http::uri::Authority;

use identity::certificate_error::ServerCertificateError;
use ledger::Reason;

/// A dial that failed; nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct DialError {
    pub(super) reason: Reason,
    message: String,
}

/// How the last dial of one of the API server's addresses went.
#[derive(Debug, Clone, Default)]
pub enum LastDial {
    /// There was none.
    #[default]
    None,
    /// It ended in a TLS connection whose certificate is the right one.
    Reached,
    /// It failed.
    Failed {
        /// Of which kind the failure is.
        reason: Reason,
        /// Why, in words.
        why: String,
        /// When.
        at: Instant,
    },
}

impl DialError {
    pub(super) fn new(authority: &Authority, error: &(dyn StdError + 'static)) -> Self {
        let mut reason = Reason::Connect;
        let mut message = format!("cannot reach {authority}");
        let mut cause = Some(error);
        while let Some(error) = cause {
            let Some(tls) = tls_error(error) else {
                message.push_str(&format!(": {error}"));
                cause = error.source();
                continue;
            };
            reason = Reason::Tls;
            message.push_str(": ");
            message.push_str(&in_words(tls));
            break;
        }
        Self { reason, message }
    }

    pub(super) fn timed_out(authority: &Authority) -> Self {
        Self {
            reason: Reason::Connect,
            message: format!("no connection to {authority} in time"),
        }
    }

    pub(super) fn leads_back(authority: &Authority) -> Self {
        Self {
            reason: Reason::Connect,
            message: format!("{authority} leads back to this proxy"),
        }
    }

    pub(super) fn no_address() -> Self {
        Self {
            reason: Reason::Connect,
            message: "the API server has no address".to_owned(),
        }
    }
}

impl LastDial {
    pub(super) fn failed(error: &DialError) -> Self {
        Self::Failed {
            reason: error.reason,
            why: error.to_string(),
            at: Instant::now(),
        }
    }

    /// There is a TCP connection.
    pub(super) fn note_connected(&mut self) {
        let failed = matches!(self, Self::Failed { reason, .. } if *reason == Reason::Connect);
        if failed {
            *self = Self::Reached;
        }
    }
}

/// An `io::Error` hides what it wraps from its source: it has to be asked for.
fn tls_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    if let Some(error) = error.downcast_ref() {
        return Some(error);
    }
    let inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    tls_error(inner)
}

fn in_words(error: &rustls::Error) -> String {
    if let Some(words) = ServerCertificateError::of(error) {
        return words.to_string();
    }
    match error {
        rustls::Error::InvalidMessage(_) => format!("what answers there is no TLS server: {error}"),
        error => error.to_string(),
    }
}
