//! How the metrics endpoints of components are trusted.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{IdentityError, ca::CaSource, provider};

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Nobody: for endpoints without TLS.
    Nobody,
    /// Who has a certificate of the CA in a PEM file.
    Ca(PathBuf),
    /// Anybody. Only for what may be read, and written, by whoever is in between.
    Anybody,
}

impl Trust {
    /// The client side of TLS, without a certificate of one's own.
    pub fn client_config(&self) -> Result<ClientConfig, IdentityError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|source| IdentityError::Tls {
                what: "TLS 1.2 and 1.3".to_owned(),
                source,
            })?;
        let builder = match self {
            Self::Nobody => builder.with_root_certificates(RootCertStore::empty()),
            Self::Ca(path) => builder.with_root_certificates(CaSource::File(path.clone()).roots()?),
            Self::Anybody => {
                let any = Arc::new(AnyServer::new());
                builder.dangerous().with_custom_certificate_verifier(any)
            }
        };
        Ok(builder.with_no_client_auth())
    }
}

/// Takes any certificate whose key the server proves to hold.
#[derive(Debug)]
pub(super) struct AnyServer(WebPkiSupportedAlgorithms);

impl AnyServer {
    pub(super) fn new() -> Self {
        Self(provider().signature_verification_algorithms)
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
