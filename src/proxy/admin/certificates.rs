//! When the certificates end that are in use.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// A certificate whose end the metrics tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certificate {
    /// What components see.
    Serving,
    /// The CA that the API server is verified with.
    UpstreamCa,
    /// The CA that clients' certificates are verified with.
    ClientCa,
    /// What an authenticating proxy shows to the API server.
    FrontProxy,
}

impl Certificate {
    /// The value of a label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::UpstreamCa => "upstream_ca",
            Self::ClientCa => "client_ca",
            Self::FrontProxy => "front_proxy",
        }
    }
}

/// When the certificates end that are in use.
#[derive(Default)]
pub(super) struct Certificates(Mutex<BTreeMap<Certificate, i64>>);

impl Certificates {
    /// Notes when a certificate ends, in seconds of Unix time.
    pub(super) fn note_end(&self, certificate: Certificate, ends: i64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(certificate, ends);
    }

    /// In seconds of Unix time.
    pub(super) fn ends(&self) -> BTreeMap<Certificate, i64> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.clone()
    }
}
