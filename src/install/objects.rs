//! The Secret and the ConfigMap that attached pods mount.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use identity::{IdentityError, mint::Authority};

/// Name of the Secret: the serving certificate, its key, its CA, and the admin port's token.
pub const SECRET: &str = "kubetoll-proxy-tls";
/// Name of the ConfigMap: the CA that components trust, and what the KubeVirt object held before.
pub const CONFIG_MAP: &str = "kubetoll-proxy-ca";
/// The label by which both are known as Kubetoll's, and its value.
pub const OWNER_LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "kubetoll");
/// Key of the ConfigMap: the CA, PEM.
pub const CA_KEY: &str = "ca.crt";
/// Key of the ConfigMap: `customizeComponents` before the first attach, JSON; `null` if absent.
pub const FOUND_KEY: &str = "found.json";

/// What the components' clients dial.
const NAMES: [&str; 3] = ["127.0.0.1", "::1", "localhost"];

/// Certificates and a token, made for one installation.
pub struct Materials {
    ca_pem: String,
    certificate_pem: String,
    key_pem: String,
    token: String,
}

impl Materials {
    /// Makes them. The CA's key is kept nowhere, so that nobody can sign for it again.
    pub fn mint() -> Result<Self, IdentityError> {
        let authority = Authority::new("kubetoll-proxy-ca")?;
        let leaf = authority.serving("kubetoll-proxy", &NAMES.map(str::to_owned))?;
        Ok(Self {
            ca_pem: authority.certificate_pem(),
            certificate_pem: leaf.certificate_pem,
            key_pem: leaf.key_pem,
            token: format!(
                "{:032x}{:032x}",
                rand::random::<u128>(),
                rand::random::<u128>()
            ),
        })
    }

    /// The Secret that the sidecars mount, for a namespace.
    pub fn secret(&self, namespace: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": metadata(namespace, SECRET),
            "data": {
                "tls.crt": STANDARD.encode(&self.certificate_pem),
                "tls.key": STANDARD.encode(&self.key_pem),
                "ca.crt": STANDARD.encode(&self.ca_pem),
                "token": STANDARD.encode(&self.token),
            },
        })
    }
}

/// The CA in a Secret of ours, PEM; `None` if it holds none.
pub fn ca_of_secret(secret: &Value) -> Option<String> {
    let data = secret["data"]["ca.crt"].as_str()?;
    String::from_utf8(STANDARD.decode(data).ok()?).ok()
}

/// The ConfigMap; `found` is the KubeVirt object's `customizeComponents` before anything of ours.
pub fn config_map(namespace: &str, ca_pem: &str, found: Option<&Value>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(namespace, CONFIG_MAP),
        "data": {
            CA_KEY: ca_pem,
            FOUND_KEY: found.unwrap_or(&Value::Null).to_string(),
        },
    })
}

/// Whether an object carries Kubetoll's label.
pub fn is_ours(object: &Value) -> bool {
    object["metadata"]["labels"][OWNER_LABEL.0] == OWNER_LABEL.1
}

fn metadata(namespace: &str, name: &str) -> Value {
    json!({
        "namespace": namespace,
        "name": name,
        "labels": {OWNER_LABEL.0: OWNER_LABEL.1, "app.kubernetes.io/name": "kubetoll-proxy"},
    })
}
