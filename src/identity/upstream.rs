//! Where the API server is and how it is trusted.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, RootCertStore,
    client::ResolvesClientCert,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{IdentityError, expiry, kubeconfig, provider, read, server_verifier::ServerVerifier};

/// Where the kubelet mounts what a pod needs to reach the API server.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An API server: its address and its CA. Never a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `https://host:port`.
    pub url: String,
    /// The CA's certificates.
    pub ca: CaSource,
    /// The name that the server's certificate must have, if not the URL's host.
    pub server_name: Option<String>,
}

/// Where a CA's certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaSource {
    /// A PEM file, which may change.
    File(PathBuf),
    /// PEM text.
    Pem(Vec<u8>),
    /// Certificates, DER.
    Der(Vec<Vec<u8>>),
}

impl Upstream {
    /// The API server of the cluster that this process is a pod of.
    pub fn in_cluster() -> Result<Self, IdentityError> {
        let variable = |name| env::var(name).map_err(|_| IdentityError::NotInCluster(name));
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        Ok(Self {
            url: format!("https://{host}:{port}"),
            ca: CaSource::File(Path::new(SERVICE_ACCOUNT).join("ca.crt")),
            server_name: None,
        })
    }

    /// The API server of a kubeconfig's current context: address and CA, never the credential.
    pub fn from_kubeconfig(path: &Path) -> Result<Self, IdentityError> {
        let cluster = kubeconfig::current_cluster(path)?;
        let wrong = |message| kubeconfig::wrong(path, message);
        if cluster.insecure_skip_tls_verify == Some(true) {
            return Err(wrong(
                "insecure-skip-tls-verify: the proxy never skips verification; give the CA",
            ));
        }
        if cluster.proxy_url.is_some() {
            return Err(wrong("proxy-url: the proxy dials the API server itself"));
        }
        let ca = match (
            cluster.certificate_authority_data,
            cluster.certificate_authority,
        ) {
            (Some(data), _) => CaSource::Pem(
                STANDARD
                    .decode(data)
                    .map_err(|_| wrong("certificate-authority-data is not base64"))?,
            ),
            (None, Some(file)) => CaSource::File(file),
            (None, None) => return Err(wrong("no certificate-authority")),
        };
        Ok(Self {
            url: cluster.server.ok_or_else(|| wrong("no server"))?,
            ca,
            server_name: cluster.tls_server_name,
        })
    }

    /// The client side of TLS, without ALPN: the dialler sets that. `credential` is what the
    /// proxy presents as its own, which only `exec` does.
    pub fn client_config(
        &self,
        credential: Option<Arc<dyn ResolvesClientCert>>,
    ) -> Result<ClientConfig, IdentityError> {
        let verifier = ServerVerifier::new(self.ca.roots()?, &self.ca.certificates()?)?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|source| IdentityError::Tls {
                what: "TLS 1.2 and 1.3".to_owned(),
                source,
            })?
            .dangerous() // it refuses what the default one refuses, and says why
            .with_custom_certificate_verifier(verifier);
        Ok(match credential {
            Some(resolver) => builder.with_client_cert_resolver(resolver),
            None => builder.with_no_client_auth(),
        })
    }
}

impl CaSource {
    /// What the source holds now, to be compared with what it held.
    pub fn content(&self) -> Result<Vec<u8>, IdentityError> {
        match self {
            Self::File(path) => read(path),
            Self::Pem(pem) => Ok(pem.clone()),
            Self::Der(certificates) => Ok(certificates.concat()),
        }
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, IdentityError> {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Pem(_) | Self::Der(_) => PathBuf::from("the given CA"),
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

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
        Ok(match self {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is made of a kubeconfig whose cluster has these fields, too.
    fn read(fields: &Value) -> Result<Upstream, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let mut cluster =
            json!({"server": "https://127.0.0.1:1", "certificate-authority-data": "Y2E="});
        for (name, value) in fields.as_object().unwrap() {
            cluster[name] = value.clone();
        }
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "other", "cluster": {}}, {"name": "a", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "a", "user": "u"}}],
            "current-context": "c",
        });
        // Clients read the first document only.
        std::fs::write(&path, format!("{config}\n---\nkind: Config\n")).unwrap();
        Upstream::from_kubeconfig(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_kubeconfig_that_leads_through_another_proxy_is_refused() {
        assert_eq!(read(&json!({})).unwrap().url, "https://127.0.0.1:1");
        assert!(read(&json!({"proxy-url": ""})).is_ok());
        let refused = read(&json!({"proxy-url": "socks5://127.0.0.1:2"})).unwrap_err();
        assert!(refused.contains("proxy-url"), "{refused}");
    }

    #[test]
    fn a_path_in_a_kubeconfig_is_seen_from_its_folder() {
        let ca = |file: &str| {
            let fields = json!({"certificate-authority": file, "certificate-authority-data": ""});
            match read(&fields).unwrap().ca {
                CaSource::File(file) => file,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(ca("/a/ca.crt"), Path::new("/a/ca.crt"));
        assert!(ca("ca.crt").is_absolute() && ca("ca.crt").ends_with("ca.crt"));
    }
}
