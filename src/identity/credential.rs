//! The credential of a kubeconfig's user, for the one proxy that presents it: that of `exec`.

use std::{path::Path, process::Stdio, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use kube::config::{AuthInfo, ExecConfig};
use rustls::{
    client::ResolvesClientCert,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

use super::{IdentityError, provider, read, read_token};

/// What is presented to the API server.
#[derive(Default)]
pub struct UserCredential {
    /// The `Authorization` header.
    pub authorization: Option<HeaderValue>,
    /// The client certificate.
    pub certificate: Option<Arc<dyn ResolvesClientCert>>,
}

/// What an exec plugin prints.
#[derive(Deserialize)]
struct ExecCredential {
    status: ExecStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ExecStatus {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

impl UserCredential {
    /// The credential of a kubeconfig's user: client certificate, token, token file, exec plugin,
    /// or user name and password.
    pub async fn of(user: &AuthInfo) -> Result<Self, IdentityError> {
        let mut credential = Self {
            authorization: authorization(user)?,
            certificate: certificate(user)?,
        };
        if let Some(plugin) = &user.exec {
            let status = run_plugin(plugin).await?;
            if let Some(token) = status.token {
                credential.authorization = Some(bearer(&token)?);
            }
            if let (Some(chain), Some(key)) =
                (status.client_certificate_data, status.client_key_data)
            {
                credential.certificate = Some(certified(chain.as_bytes(), key.as_bytes())?);
            }
        }
        if user.auth_provider.is_some() {
            return Err(wrong(
                "auth providers are gone from Kubernetes; use an exec plugin",
            ));
        }
        Ok(credential)
    }
}

fn wrong(message: impl Into<String>) -> IdentityError {
    IdentityError::Credential(message.into())
}

fn authorization(user: &AuthInfo) -> Result<Option<HeaderValue>, IdentityError> {
    if let Some(token) = &user.token {
        return bearer(token.expose_secret()).map(Some);
    }
    if let Some(file) = &user.token_file {
        return bearer(&read_token(Path::new(file))?).map(Some);
    }
    if let (Some(name), Some(password)) = (&user.username, &user.password) {
        let pair = STANDARD.encode(format!("{name}:{}", password.expose_secret()));
        return sensitive(format!("Basic {pair}")).map(Some);
    }
    Ok(None)
}

fn bearer(token: &str) -> Result<HeaderValue, IdentityError> {
    sensitive(format!("Bearer {token}"))
}

fn sensitive(value: String) -> Result<HeaderValue, IdentityError> {
    let mut value =
        HeaderValue::try_from(value).map_err(|_| wrong("the token is no header value"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn certificate(user: &AuthInfo) -> Result<Option<Arc<dyn ResolvesClientCert>>, IdentityError> {
    let chain = match (&user.client_certificate_data, &user.client_certificate) {
        (Some(data), _) => decode(data, "client-certificate-data")?,
        (None, Some(file)) => read(Path::new(file))?,
        (None, None) => return Ok(None),
    };
    let key = match (&user.client_key_data, &user.client_key) {
        (Some(data), _) => decode(data.expose_secret(), "client-key-data")?,
        (None, Some(file)) => read(Path::new(file))?,
        (None, None) => return Err(wrong("the user has a client certificate but no key")),
    };
    certified(&chain, &key).map(Some)
}

fn decode(data: &str, what: &str) -> Result<Vec<u8>, IdentityError> {
    let data = STANDARD.decode(data.trim());
    data.map_err(|_| wrong(format!("{what} is not base64")))
}

/// The certificate in PEM files, to be presented to the API server.
pub fn client_certificate(
    certificate: &Path,
    key: &Path,
) -> Result<Arc<dyn ResolvesClientCert>, IdentityError> {
    certified(&read(certificate)?, &read(key)?)
}

fn certified(chain: &[u8], key: &[u8]) -> Result<Arc<dyn ResolvesClientCert>, IdentityError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|_| wrong("the client certificate is not PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| wrong("the client certificate's key is not PEM"))?;
    let key =
        CertifiedKey::from_der(chain, key, &provider()).map_err(|source| IdentityError::Tls {
            what: "the client certificate".to_owned(),
            source,
        })?;
    Ok(Arc::new(SingleCertAndKey::from(key)))
}

async fn run_plugin(plugin: &ExecConfig) -> Result<ExecStatus, IdentityError> {
    let program = plugin
        .command
        .as_deref()
        .ok_or_else(|| wrong("the exec plugin has no command"))?;
    let version = plugin
        .api_version
        .as_deref()
        .unwrap_or("client.authentication.k8s.io/v1");
    let info = json!({
        "apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": false},
    });
    let mut command = Command::new(program);
    command
        .args(plugin.args.iter().flatten())
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    for variable in plugin.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    let output = command.output().await;
    let output = output.map_err(|error| wrong(format!("cannot run {program}: {error}")))?;
    if !output.status.success() {
        return Err(wrong(format!("{program} failed: {}", output.status)));
    }
    let credential: ExecCredential = serde_json::from_slice(&output.stdout)
        .map_err(|_| wrong(format!("{program} printed no ExecCredential")))?;
    Ok(credential.status)
}
