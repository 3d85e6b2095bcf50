//! Where the API server is and how it is trusted.

use std::{env, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{ClientConfig, client::ResolvesClientCert};

pub use super::ca::CaSource;
use super::{IdentityError, kubeconfig, provider, trust};

/// Where the kubelet mounts what a pod needs to reach the API server.
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An API server: its address and its CA. Never a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `https://host:port`, and a path if all of the API server's are below one.
    pub url: String,
    /// The CA's certificates.
    pub ca: CaSource,
    /// The name that the server's certificate must have, if not the URL's host.
    pub server_name: Option<String>,
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
            // As for every client: a public certificate needs no CA of one's own.
            (None, None) => CaSource::System,
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
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|source| IdentityError::Tls {
                what: "TLS 1.2 and 1.3".to_owned(),
                source,
            })?
            .dangerous() // it refuses what Go's programs refuse, and says why
            .with_custom_certificate_verifier(trust::verifier(&self.ca)?);
        Ok(match credential {
            Some(resolver) => builder.with_client_cert_resolver(resolver),
            None => builder.with_no_client_auth(),
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
