//! Whether a server is the one that it should be, by the rules of Go's programs.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{
    IdentityError,
    ca::CaSource,
    certificate_error::{in_words, subjects},
    endpoint::AnyServer,
    provider,
};

/// Verifies servers by the certificates of `ca`.
pub(super) fn verifier(ca: &CaSource) -> Result<Arc<dyn ServerCertVerifier>, IdentityError> {
    let trusted = match ca {
        CaSource::Unchecked => return Ok(Arc::new(AnyServer::new())),
        CaSource::System => Vec::new(),
        given => given.certificates()?,
    };
    let names = match ca {
        CaSource::System => vec!["what the system trusts".to_owned()],
        _ => subjects(&trusted),
    };
    let roots = Arc::new(ca.roots()?);
    let chains = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
    let chains = chains.map_err(|error| IdentityError::Tls {
        what: "the CA".to_owned(),
        source: Error::General(error.to_string()),
    })?;
    Ok(Arc::new(Verifier {
        chains,
        trusted,
        names,
    }))
}

/// Takes whose certificate comes from one of the trusted, or is one of them. The latter webpki has
/// not: it takes an authority for nothing but an authority. What it refuses it puts into words.
#[derive(Debug)]
struct Verifier {
    chains: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
    /// Names of what it trusts.
    names: Vec<String>,
}

impl Verifier {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_chain = self.chains.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if by_chain.is_ok() || !self.trusted.iter().any(|one| one == end_entity) {
            return by_chain;
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        check_itself(end_entity, now)?;
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.verify(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| {
            let chain: Vec<_> = [end_entity].into_iter().chain(intermediates).collect();
            in_words(error, &chain, server_name, &self.names)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// What remains to be checked of a certificate that needs no other: its time and its use.
fn check_itself(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < parsed.validity().not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > parsed.validity().not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    let uses = parsed.extended_key_usage();
    let uses = uses.map_err(|_| CertificateError::BadEncoding)?;
    if uses.is_some_and(|uses| !uses.value.server_auth && !uses.value.any) {
        return Err(CertificateError::InvalidPurpose.into());
    }
    Ok(())
}
