//! Why a real control plane can't run.

use identity::IdentityError;

/// Why a real control plane can't run.
#[derive(Debug, thiserror::Error)]
pub enum RealError {
    /// No etcd and kube-apiserver, and no way to build them.
    #[error("no etcd and kube-apiserver: {0}")]
    NoAssets(String),
    /// A file or process of the lab.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A process ended or didn't become ready.
    #[error("{program} did not start: {detail}")]
    NotReady {
        /// `etcd` or `kube-apiserver`.
        program: &'static str,
        /// The end of its log.
        detail: String,
    },
    /// The lab's certificates could not be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The API server refused something that the lab needs.
    #[error("{what}: {source}")]
    Api {
        /// What was being done.
        what: &'static str,
        /// What the client says.
        source: Box<kube::Error>,
    },
}

pub(super) fn io_error(what: impl Into<String>, source: std::io::Error) -> RealError {
    RealError::Io {
        what: what.into(),
        source,
    }
}
