//! The credential of a kubeconfig's user: which of its fields count, and for the one proxy that
//! presents it, that of `exec`, what they hold.

use std::{
    io::{IsTerminal, stdin},
    path::Path,
    process::Stdio,
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use kube::config::{AuthInfo, ExecConfig, ExecInteractiveMode};
use rustls::client::ResolvesClientCert;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

use identity::{IdentityError, presented::certified, read, read_token};

/// What is presented to the API server.
#[derive(Default)]
pub struct UserCredential {
    /// What goes into the `Authorization` header, if anything does.
    pub authorization: Option<HeaderValue>,
    /// The client certificate for TLS, if there is one.
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

/// A user with the fields alone that client-go would use, so that everybody who reads it acts as the
/// same: empty ones are as good as none, a token file that can be read comes before a token, and a
/// plugin is asked only where there is nothing else.
///
/// # Errors
/// For what client-go refuses as well: a password beside a token, or the impersonation of a uid,
/// groups or extra values without a user.
pub fn as_clients_read_it(mut user: AuthInfo) -> Result<AuthInfo, IdentityError> {
    drop_empty(&mut user);
    let acts_as_part = [
        ("as-uid", user.impersonate_uid.is_some()),
        ("as-groups", user.impersonate_groups.is_some()),
        ("as-user-extra", user.impersonate_user_extra.is_some()),
    ];
    for (field, _) in acts_as_part.into_iter().filter(|(_, given)| *given) {
        if user.impersonate.is_none() {
            return Err(wrong(format!("{field} is there without `as`")));
        }
    }
    let has_password = user.username.is_some() || user.password.is_some();
    let has_token = user.token.is_some() || user.token_file.is_some();
    if has_password && has_token {
        return Err(wrong(
            "there are a password and a token: only one can count",
        ));
    }
    if let (Some(_), Some(file)) = (&user.token, &user.token_file) {
        if read_token(Path::new(file)).is_ok() {
            user.token = None;
        } else {
            user.token_file = None;
        }
    }
    let has_certificate =
        user.client_certificate.is_some() || user.client_certificate_data.is_some();
    if has_password || has_token || has_certificate {
        user.exec = None;
    }
    Ok(user)
}

fn drop_empty(user: &mut AuthInfo) {
    let texts = [
        &mut user.username,
        &mut user.token_file,
        &mut user.client_certificate,
        &mut user.client_certificate_data,
        &mut user.client_key,
        &mut user.impersonate,
        &mut user.impersonate_uid,
    ];
    for text in texts {
        text.take_if(|text| text.is_empty());
    }
    let secrets = [
        &mut user.password,
        &mut user.token,
        &mut user.client_key_data,
    ];
    for secret in secrets {
        secret.take_if(|secret| secret.expose_secret().is_empty());
    }
    user.impersonate_groups.take_if(|groups| groups.is_empty());
    user.impersonate_user_extra
        .take_if(|extra| extra.is_empty());
}

impl UserCredential {
    /// The credential of a kubeconfig's user: client certificate, token, token file, exec plugin,
    /// or user name and password. `user` is one of [`as_clients_read_it`].
    pub async fn of(user: &AuthInfo) -> Result<Self, IdentityError> {
        let mut credential = Self {
            authorization: authorization(user)?,
            certificate: certificate(user)?,
        };
        if let Some(plugin) = &user.exec {
            let status = run_plugin(plugin).await?;
            credential = status.presented()?;
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

impl ExecStatus {
    /// A plugin that gives nothing, or half of a pair, must not make the user anonymous.
    fn presented(self) -> Result<UserCredential, IdentityError> {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let token = some(self.token);
        let pair = (
            some(self.client_certificate_data),
            some(self.client_key_data),
        );
        let certificate = match pair {
            (Some(chain), Some(key)) => Some(certified(chain.as_bytes(), key.as_bytes())?),
            (None, None) if token.is_some() => None,
            (None, None) => return Err(wrong("the exec plugin gave no token and no certificate")),
            _ => {
                return Err(wrong(
                    "the exec plugin gave a certificate or a key, not both",
                ));
            }
        };
        Ok(UserCredential {
            authorization: token.map(|token| bearer(&token)).transpose()?,
            certificate,
        })
    }
}

async fn run_plugin(plugin: &ExecConfig) -> Result<ExecStatus, IdentityError> {
    let program = plugin
        .command
        .as_deref()
        .ok_or_else(|| wrong("the exec plugin has no command"))?;
    let is_interactive = is_interactive(plugin)?;
    let mut command = Command::new(program);
    command
        .args(plugin.args.iter().flatten())
        .env("KUBERNETES_EXEC_INFO", exec_info(plugin, is_interactive))
        .stdin(if is_interactive {
            Stdio::inherit()
        } else {
            Stdio::null()
        })
        .stderr(Stdio::inherit());
    for variable in plugin.env.iter().flatten() {
        if let Some(name) = variable.get("name") {
            command.env(name, variable.get("value").map_or("", String::as_str));
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

/// What a plugin is told of its caller. One that asked for the cluster may give each cluster a
/// credential of its own.
fn exec_info(plugin: &ExecConfig, is_interactive: bool) -> String {
    let version = plugin
        .api_version
        .as_deref()
        .unwrap_or("client.authentication.k8s.io/v1");
    let mut info = json!({
        "apiVersion": version,
        "kind": "ExecCredential",
        "spec": {"interactive": is_interactive},
    });
    if let Some(cluster) = &plugin.cluster {
        info["spec"]["cluster"] = json!(cluster);
    }
    info.to_string()
}

fn is_interactive(plugin: &ExecConfig) -> Result<bool, IdentityError> {
    match plugin.interactive_mode {
        Some(ExecInteractiveMode::Never) => Ok(false),
        Some(ExecInteractiveMode::Always) if !stdin().is_terminal() => Err(wrong(
            "the exec plugin's interactiveMode is Always, and standard input is no terminal",
        )),
        _ => Ok(stdin().is_terminal()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: serde_json::Value) -> AuthInfo {
        as_clients_read_it(serde_json::from_value(fields).unwrap()).unwrap()
    }

    /// As client-go has it: the file's content is the newer, unless there is none.
    #[test]
    fn a_token_file_comes_before_a_token_where_it_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let both = json!({"token": "old", "tokenFile": file});
        let header = |user: &AuthInfo| authorization(user).unwrap().unwrap();
        assert_eq!(header(&read(both.clone())), "Bearer old");
        std::fs::write(&file, "new\n").unwrap();
        assert_eq!(header(&read(both)), "Bearer new");
    }

    #[test]
    fn an_empty_field_is_none() {
        let user = read(json!({
            "token": "", "as": "", "as-groups": [], "as-user-extra": {}, "client-certificate": "",
            "exec": {"command": "c"},
        }));
        assert!(user.token.is_none() && user.impersonate.is_none() && user.exec.is_some());
        assert!(user.impersonate_groups.is_none() && user.impersonate_user_extra.is_none());
    }
}
