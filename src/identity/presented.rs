//! A certificate that is presented to the API server.

use std::{path::Path, sync::Arc};

use rustls::{
    client::ResolvesClientCert,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{IdentityError, provider, read};

/// The certificate in PEM files, to be presented to the API server.
pub fn client_certificate(
    certificate: &Path,
    key: &Path,
) -> Result<Arc<dyn ResolvesClientCert>, IdentityError> {
    certified(&read(certificate)?, &read(key)?)
}

/// The certificate with its chain, and its key, both in PEM form.
///
/// # Errors
///
/// [`IdentityError::Credential`] where they are something else, [`IdentityError::Tls`] where they
/// don't belong together.
pub fn certified(chain: &[u8], key: &[u8]) -> Result<Arc<dyn ResolvesClientCert>, IdentityError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| wrong("the client certificate is not PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| wrong("the client certificate's key is not PEM"))?;
    let key =
        CertifiedKey::from_der(chain, key, &provider()).map_err(|source| IdentityError::Tls {
            what: "the client certificate".to_owned(),
            source,
        })?;
    Ok(Arc::new(SingleCertAndKey::from(key)))
}

fn wrong(message: &str) -> IdentityError {
    IdentityError::Credential(message.to_owned())
}
