//! Kubeconfigs that Kubetoll writes.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// What a kubeconfig presents to the API server.
#[derive(Clone)]
pub enum Credential {
    /// A bearer token.
    Token(String),
    /// A client certificate and its key, PEM.
    Certificate {
        /// The certificate.
        certificate_pem: String,
        /// Its key.
        key_pem: String,
    },
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Token(_) => "Token(masked)",
            Self::Certificate { .. } => "Certificate(masked)",
        })
    }
}

/// A kubeconfig for one API server and one user. It is JSON, which is YAML.
pub fn kubeconfig(server: &str, ca_pem: &[u8], credential: &Credential) -> Value {
    let user = match credential {
        Credential::Token(token) => json!({"token": token}),
        Credential::Certificate {
            certificate_pem,
            key_pem,
        } => json!({
            "client-certificate-data": STANDARD.encode(certificate_pem),
            "client-key-data": STANDARD.encode(key_pem),
        }),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kubetoll", "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(ca_pem),
        }}],
        "users": [{"name": "kubetoll", "user": user}],
        "contexts": [{"name": "kubetoll", "context": {"cluster": "kubetoll", "user": "kubetoll"}}],
        "current-context": "kubetoll",
    })
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)
}
