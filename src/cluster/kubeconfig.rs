//! Kubeconfigs that Kubetoll writes, and what of a user's own they must keep.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::config::{AuthInfo, Cluster, Context};
use serde_json::{Value, json};

/// What a kubeconfig presents to the API server.
#[derive(Clone)]
pub enum Credential {
    /// A bearer token, as in the header.
    Token(String),
    /// A client certificate and its key, PEM.
    Certificate {
        /// The certificate, PEM.
        certificate_pem: String,
        /// Its private key, PEM.
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

/// Makes a kubeconfig of [`kubeconfig`] act where and as whom a user's own does: in `namespace`, and
/// impersonating whom `user` impersonates (`as`, `as-uid`, `as-groups`, `as-user-extra`).
pub fn act_as(config: &mut Value, namespace: Option<&str>, user: &AuthInfo) {
    if let Some(namespace) = namespace {
        config["contexts"][0]["context"]["namespace"] = json!(namespace);
    }
    let fields = [
        ("as", json!(user.impersonate)),
        ("as-uid", json!(user.impersonate_uid)),
        ("as-groups", json!(user.impersonate_groups)),
        ("as-user-extra", json!(user.impersonate_user_extra)),
    ];
    for (field, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
        config["users"][0]["user"][field] = value;
    }
}

/// A field of a context, its cluster or its user, such as `user.as-scopes`, that is none of those
/// that Kubernetes has had so far: a newer one may say who acts or where.
pub fn unknown_field(context: &Context, cluster: &Cluster, user: &AuthInfo) -> Option<String> {
    let plugin = user.exec.as_ref();
    let places = [
        ("context", Some(&context.other)),
        ("cluster", Some(&cluster.other)),
        ("user", Some(&user.other)),
        ("user.exec", plugin.map(|plugin| &plugin.other)),
    ];
    places.into_iter().find_map(|(place, fields)| {
        let field = fields?.keys().next()?;
        Some(format!("{place}.{field}"))
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
