//! The serving certificate of a listener, read again while it serves.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{IdentityError, client_certificate::ClientCertificates, expiry, provider, read};

/// The protocols that a listener offers by ALPN; a client that offers none speaks HTTP/1.1.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate that can be exchanged under load. It is given to every client, whatever name it
/// asked for: clients in a cluster dial an IP address and ask for none.
#[derive(Debug)]
pub struct ServingCertificate {
    current: ArcSwap<CertifiedKey>,
    files: Option<(PathBuf, PathBuf)>,
}

impl ServingCertificate {
    /// A certificate from PEM files: the chain, leaf first, and its key.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Arc<Self>, IdentityError> {
        let current = ArcSwap::from_pointee(load(certificate, key)?);
        Ok(Arc::new(Self {
            current,
            files: Some((certificate.to_owned(), key.to_owned())),
        }))
    }

    /// A certificate that was just made.
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<Self>, IdentityError> {
        let certified = certify(chain, key, "the certificate that was made")?;
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(certified),
            files: None,
        }))
    }

    /// Reads the files again; says whether they held another certificate. On an error the old one
    /// stays.
    pub fn reload(&self) -> Result<bool, IdentityError> {
        let Some((certificate, key)) = &self.files else {
            return Ok(false);
        };
        let new = load(certificate, key)?;
        let changed = new.cert != self.current.load().cert;
        if changed {
            self.current.store(Arc::new(new));
        }
        Ok(changed)
    }

    /// When the chain that is in use stops being valid, in seconds of Unix time.
    pub fn ends(&self) -> Option<i64> {
        let current = self.current.load();
        current.cert.iter().filter_map(expiry::not_after).min()
    }

    /// The server side of TLS with this certificate.
    pub fn server_config(
        self: &Arc<Self>,
        clients: &ClientCertificates,
    ) -> Result<Arc<ServerConfig>, IdentityError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|source| IdentityError::Tls {
                what: "TLS 1.2 and 1.3".to_owned(),
                source,
            })?
            .with_client_cert_verifier(clients.verifier())
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        if matches!(clients, ClientCertificates::Verified(_)) {
            // A session that is taken up again would keep a certificate whose CA is gone.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = ALPN.map(Vec::from).into();
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn load(certificate: &Path, key: &Path) -> Result<CertifiedKey, IdentityError> {
    let no_pem = |path: &Path, wanted| IdentityError::NoPem {
        path: path.to_owned(),
        wanted,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|_| no_pem(certificate, "certificate"))?;
    if chain.is_empty() {
        return Err(no_pem(certificate, "certificate"));
    }
    let private =
        PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| no_pem(key, "private key"))?;
    certify(chain, private, &certificate.display().to_string())
}

fn certify(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    what: &str,
) -> Result<CertifiedKey, IdentityError> {
    CertifiedKey::from_der(chain, key, &provider()).map_err(|source| IdentityError::Tls {
        what: what.to_owned(),
        source,
    })
}
