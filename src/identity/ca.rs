//! The certificates by which a server is trusted.

use std::path::PathBuf;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{IdentityError, expiry, read};

/// Where a CA's certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaSource {
    /// A PEM file, which may change.
    File(PathBuf),
    /// PEM text.
    Pem(Vec<u8>),
    /// Certificates, DER.
    Der(Vec<Vec<u8>>),
    /// The authorities of the system.
    System,
    /// Anybody is believed: a user's kubeconfig may ask for it, nothing else does.
    Unchecked,
}

impl CaSource {
    /// What the source holds now, to be compared with what it held.
    pub fn content(&self) -> Result<Vec<u8>, IdentityError> {
        match self {
            Self::File(path) => read(path),
            Self::Pem(pem) => Ok(pem.clone()),
            Self::Der(certificates) => Ok(certificates.concat()),
            Self::System | Self::Unchecked => Ok(Vec::new()),
        }
    }

    /// Whether it holds a certificate by which somebody can be trusted.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoPem`] if it doesn't.
    pub fn check(&self) -> Result<(), IdentityError> {
        self.roots().map(drop)
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, IdentityError> {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::System => return system_roots(),
            Self::Pem(_) | Self::Der(_) | Self::Unchecked => PathBuf::from("the given CA"),
        };
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(self.certificates()?);
        if added == 0 {
            return Err(IdentityError::NoPem {
                path,
                wanted: "CA certificate",
            });
        }
        Ok(roots)
    }

    /// When the last of the certificates ends, in seconds of Unix time; `None` where they can't be
    /// read.
    pub fn ends(&self) -> Option<i64> {
        expiry::of_authorities(&self.certificates().ok()?)
    }

    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
        Ok(match self {
            Self::System | Self::Unchecked => Vec::new(),
            Self::Der(certificates) => certificates
                .iter()
                .cloned()
                .map(CertificateDer::from)
                .collect(),
            Self::File(_) | Self::Pem(_) => CertificateDer::pem_slice_iter(&self.content()?)
                .filter_map(Result::ok)
                .collect(),
        })
    }
}

/// The authorities of the system, as OpenSSL and Go find them: `SSL_CERT_FILE` and `SSL_CERT_DIR`,
/// or the usual places.
fn system_roots() -> Result<RootCertStore, IdentityError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(IdentityError::NoSystemRoots);
    }
    Ok(roots)
}
