//! Kubeconfigs that Kubetoll writes, and what of a user's own they must keep.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::reading::{Chosen, Fields, Kubeconfig, Named};

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

/// A kubeconfig that leads through a proxy.
pub struct Led {
    /// The kubeconfig, JSON.
    pub config: Value,
    /// The contexts of the user's own that it hasn't: of another cluster or another user.
    pub left_out: Vec<String>,
}

/// The user's own kubeconfig with its names and all that says who acts and where, but with the
/// proxy at `server` as API server, which takes `token` for the user. Other contexts of the same
/// cluster and user stay.
pub fn led_through(
    kubeconfig: &Kubeconfig,
    chosen: &Chosen,
    server: &str,
    ca_pem: &[u8],
    token: &str,
) -> Led {
    let same = |one: &Named| {
        let same = |field| one.fields.get(field) == chosen.context.fields.get(field);
        same("cluster") && same("user")
    };
    let (stay, go): (Vec<&Named>, Vec<&Named>) =
        kubeconfig.contexts.iter().partition(|one| same(one));
    let mut contexts: Vec<Value> = stay.into_iter().map(|one| listed("context", one)).collect();
    let mut user = chosen.user.clone().unwrap_or_else(|| nobody(chosen));
    user.fields = kept(&user.fields, &USER_KEPT);
    user.fields.insert("token".to_owned(), json!(token));
    if chosen.user.is_none() {
        for context in &mut contexts {
            context["context"]["user"] = json!(user.name);
        }
    }
    let mut config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [listed("cluster", &led_cluster(&chosen.cluster, server, ca_pem))],
        "users": [listed("user", &user)],
        "contexts": contexts,
        "current-context": chosen.context.name,
    });
    if let Some(preferences) = &kubeconfig.preferences {
        config["preferences"] = preferences.clone();
    }
    Led {
        config,
        left_out: go.into_iter().map(|one| one.name.clone()).collect(),
    }
}

/// What of a user is not its credential.
const USER_KEPT: [&str; 5] = ["as", "as-uid", "as-groups", "as-user-extra", "extensions"];
/// What of a cluster says nothing of where it is.
const CLUSTER_KEPT: [&str; 2] = ["disable-compression", "extensions"];

/// A cluster's entry with another server and CA.
pub fn led_cluster(cluster: &Named, server: &str, ca_pem: &[u8]) -> Named {
    let mut fields = kept(&cluster.fields, &CLUSTER_KEPT);
    fields.insert("server".to_owned(), json!(server));
    let ca = STANDARD.encode(ca_pem);
    fields.insert("certificate-authority-data".to_owned(), json!(ca));
    Named {
        name: cluster.name.clone(),
        fields,
    }
}

fn kept(fields: &Fields, names: &[&str]) -> Fields {
    let fields = fields
        .iter()
        .filter(|(name, _)| names.contains(&name.as_str()));
    fields
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A user for a context that names none, or one that is missing.
fn nobody(chosen: &Chosen) -> Named {
    let name = chosen.context.fields.get("user").and_then(Value::as_str);
    let name = name.filter(|name| !name.is_empty()).unwrap_or("kubetoll");
    Named {
        name: name.to_owned(),
        fields: Fields::new(),
    }
}

/// An entry of a kubeconfig's list.
pub fn listed(kind: &str, one: &Named) -> Value {
    json!({"name": one.name, kind: one.fields})
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
