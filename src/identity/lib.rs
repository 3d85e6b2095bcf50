//! Who is who: certificates, kubeconfigs, and the names of clients; and the way to a server.
//!
//! Invariant: keys are parsed here only, and nothing here ever prints a token or a key.

pub mod bearer;
mod ca;
pub mod certificate_error;
pub mod client;
pub mod client_certificate;
pub mod connect;
pub mod endpoint;
pub mod expiry;
mod kubeconfig;
pub mod mint;
pub mod presented;
pub mod proof;
pub mod proven;
pub mod server;
mod trust;
pub mod upstream;
pub mod way;

use std::{io, path::PathBuf, sync::Arc};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The one TLS provider.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Makes aws-lc-rs the process's TLS provider, for kube's client; call it first in `main`.
pub fn install_provider() {
    // An error means that it is installed already.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// What can be wrong with a certificate, key, CA, or kubeconfig.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file can't be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file has no PEM block of the kind that is needed.
    #[error("{path} holds no {wanted} in PEM form", path = path.display())]
    NoPem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// A file that should hold a token has nothing but white space.
    #[error("{path} holds no token: it is empty", path = path.display())]
    EmptyToken {
        /// The file.
        path: PathBuf,
    },
    /// A certificate and a key that don't belong together, or that rustls refuses.
    #[error("cannot use {what}: {source}")]
    Tls {
        /// What was being set up.
        what: String,
        /// rustls's reason.
        source: rustls::Error,
    },
    /// A certificate can't be made.
    #[error("cannot make a certificate: {0}")]
    Mint(#[from] rcgen::Error),
    /// Something that should be a certificate is none.
    #[error("not a certificate in PEM form")]
    NotACertificate,
    /// A kubeconfig doesn't say what is needed.
    #[error("kubeconfig {path}: {message}", path = path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        message: String,
    },
    /// A user's credential can't be presented.
    #[error("the kubeconfig's credential can't be used: {0}")]
    Credential(String),
    /// A proxy on the way to the API server can't be used.
    #[error("{from} {what}")]
    Proxy {
        /// The field or the variable that names it.
        from: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No CA was given, and the system has none.
    #[error("no CA is given, and this system has no authorities of its own: give a CA")]
    NoSystemRoots,
    /// Not in a cluster.
    #[error("not in a cluster: {0} is missing")]
    NotInCluster(&'static str),
}

/// The bytes of a file.
///
/// # Errors
///
/// [`IdentityError::Read`] with its name.
pub fn read(path: &std::path::Path) -> Result<Vec<u8>, IdentityError> {
    std::fs::read(path).map_err(|source| IdentityError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The token in a file, without the white space around it.
///
/// # Errors
///
/// [`IdentityError::Read`] with the file's name, [`IdentityError::EmptyToken`] where it is empty.
pub fn read_token(path: &std::path::Path) -> Result<String, IdentityError> {
    let token = String::from_utf8_lossy(&read(path)?).trim().to_owned();
    if token.is_empty() {
        return Err(IdentityError::EmptyToken {
            path: path.to_owned(),
        });
    }
    Ok(token)
}
