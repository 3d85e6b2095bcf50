//! Certificates that clients present: taken only to be explained, or verified to name a user.

use std::{fmt::Write as _, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::UnixTime,
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::CertificateDer;
use x509_parser::{
    der_parser::{Oid, oid},
    prelude::{FromDer, X509Certificate},
    x509::X509Name,
};

use super::{IdentityError, provider, upstream::CaSource};

/// The attribute of a subject that holds a user's UID, as kube-apiserver reads it.
const UID: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);
/// The key under which kube-apiserver notes the certificate itself.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// What a listener does with client certificates.
#[derive(Debug, Clone)]
pub enum ClientCertificates {
    /// Asks for none.
    NotAsked,
    /// Asks, as kube-apiserver does, and takes any: only to tell the client that it can't pass.
    Asked,
    /// Asks, and verifies what comes.
    Verified(Arc<ClientCa>),
}

impl ClientCertificates {
    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        match self {
            Self::NotAsked => WebPkiClientVerifier::no_client_auth(),
            Self::Asked => Arc::new(AnyCertificate(provider().signature_verification_algorithms)),
            Self::Verified(ca) => Arc::clone(ca) as Arc<dyn ClientCertVerifier>,
        }
    }
}

/// Takes any certificate whose key the client proves to hold, like Go's `RequestClientCert`.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
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

/// The cluster's CA of client certificates, read again while it is used. A certificate that it
/// did not sign ends the handshake.
#[derive(Debug)]
pub struct ClientCa {
    source: CaSource,
    current: ArcSwap<Verifier>,
}

#[derive(Debug)]
struct Verifier {
    content: Vec<u8>,
    ends: Option<i64>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientCa {
    /// The CA in a PEM file.
    pub fn from_file(path: PathBuf) -> Result<Arc<Self>, IdentityError> {
        let source = CaSource::File(path);
        let current = ArcSwap::from_pointee(Verifier::read(&source)?);
        Ok(Arc::new(Self { source, current }))
    }

    /// Reads the file again; says whether it held another CA. On an error the old one stays.
    pub fn reload(&self) -> Result<bool, IdentityError> {
        if self.source.content()? == self.current.load().content {
            return Ok(false);
        }
        self.current.store(Arc::new(Verifier::read(&self.source)?));
        Ok(true)
    }

    /// When the CA that is in use ends, in seconds of Unix time.
    pub fn ends(&self) -> Option<i64> {
        self.current.load().ends
    }

    fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.current.load().verifier)
    }
}

impl Verifier {
    fn read(source: &CaSource) -> Result<Self, IdentityError> {
        let roots = Arc::new(source.roots()?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| IdentityError::Credential(format!("the client CA: {error}")))?;
        Ok(Self {
            content: source.content()?,
            ends: source.ends(),
            verifier,
        })
    }
}

impl ClientCertVerifier for ClientCa {
    // None, so that a client sends what it has: the CA may be another one by then.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verifier()
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier().supported_verify_schemes()
    }
}

/// The user that a verified certificate names, exactly as kube-apiserver reads it: the common
/// name, with the organizations as groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateUser {
    /// Common name.
    pub name: String,
    /// UID, where the subject has one.
    pub uid: Option<String>,
    /// Organizations, in their order.
    pub groups: Vec<String>,
    /// Further facts, by key.
    pub extra: Vec<(String, String)>,
}

/// A certificate that names no user.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoUser {
    /// It can't be read.
    #[error("the certificate can't be read")]
    Unreadable,
    /// Its subject has no common name, or one that is no text.
    #[error("the certificate's subject has no common name")]
    NoName,
    /// Its subject has an organization or UID that is no text.
    #[error("the certificate's subject is not text")]
    NotText,
}

impl CertificateUser {
    /// The user of a certificate that was verified.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, NoUser> {
        let (rest, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| NoUser::Unreadable)?;
        if !rest.is_empty() {
            return Err(NoUser::Unreadable);
        }
        let subject = parsed.subject();
        let name = last_text(subject, &x509_parser::oid_registry::OID_X509_COMMON_NAME)?;
        let name = name.filter(|name| !name.is_empty()).ok_or(NoUser::NoName)?;
        let groups = subject
            .iter_organization()
            .map(|group| group.as_str().map(str::to_owned))
            .collect::<Result<_, _>>()
            .map_err(|_| NoUser::NotText)?;
        let mut fingerprint = "X509SHA256=".to_owned();
        for byte in digest(&SHA256, certificate).as_ref() {
            let _ = write!(fingerprint, "{byte:02x}");
        }
        Ok(Self {
            name,
            uid: last_text(subject, &UID)?,
            groups,
            extra: vec![(CREDENTIAL_ID.to_owned(), fingerprint)],
        })
    }
}

/// An attribute of the subject; of several the last, as Go reads them.
fn last_text(subject: &X509Name<'_>, attribute: &Oid<'_>) -> Result<Option<String>, NoUser> {
    let last = subject.iter_by_oid(attribute).last();
    last.map(|value| value.as_str().map(str::to_owned))
        .transpose()
        .map_err(|_| NoUser::NotText)
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::pem::PemObject;

    use super::*;
    use crate::mint::Authority;

    #[test]
    fn a_certificate_names_its_user_and_groups() {
        let pem = include_bytes!("../../tests/vectors/certificates/two-groups.crt");
        let certificate = CertificateDer::from_pem_slice(pem).unwrap();
        let user = CertificateUser::of(&certificate).unwrap();
        assert_eq!(user.name, "jane", "of several names the last");
        assert_eq!(user.groups, ["first", "second"]);
        assert_eq!(user.uid.as_deref(), Some("uid-7"));
        let [(key, value)] = &user.extra[..] else {
            panic!("{user:?}");
        };
        assert_eq!(key, CREDENTIAL_ID);
        assert_eq!(value.len(), "X509SHA256=".len() + 64);
    }

    #[test]
    fn a_certificate_without_a_name_names_nobody() {
        let authority = Authority::new("clients").unwrap();
        let leaf = authority.client("", "system:masters").unwrap();
        let nobody = CertificateUser::of(&leaf.certificate());
        assert_eq!(nobody, Err(NoUser::NoName));
        let garbage = CertificateDer::from(vec![1, 2, 3]);
        assert_eq!(CertificateUser::of(&garbage), Err(NoUser::Unreadable));
    }
}
