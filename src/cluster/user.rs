//! Who a kubeconfig's user is: which of its fields count, by the rules of client-go.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::client::ResolvesClientCert;
use serde::Deserialize;

use crate::{
    plugin::Plugin,
    reading::{ConfigError, Fields, typed, wrong},
};
use identity::{presented::certified, read};

/// A user, with the fields alone that count.
#[derive(Clone, Default)]
pub struct User {
    /// What goes into the `Authorization` header.
    pub(crate) login: Login,
    /// The client certificate for TLS.
    pub(crate) certificate: Option<Arc<dyn ResolvesClientCert>>,
    /// Whom it acts as.
    pub impersonates: Impersonation,
}

/// Where the `Authorization` header comes from.
#[derive(Clone, Default)]
pub(crate) enum Login {
    /// There is none.
    #[default]
    None,
    /// A bearer token.
    Token(String),
    /// A file with one, which may change, and a token for when it can't be read.
    File(PathBuf, Option<String>),
    /// A name and a password.
    Password(String, String),
    /// A token of OpenID Connect, which ends.
    IdToken(String),
    /// A program that is asked; it may give a certificate as well.
    Plugin(Box<Plugin>),
}

/// Whom a user acts as.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Impersonation {
    /// `as`.
    pub user: Option<String>,
    /// `as-uid`.
    pub uid: Option<String>,
    /// `as-groups`.
    pub groups: Vec<String>,
    /// `as-user-extra`.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// A user as a kubeconfig has it.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
struct RawUser {
    username: String,
    password: String,
    token: String,
    #[serde(rename = "tokenFile")]
    token_file: String,
    client_certificate: String,
    client_certificate_data: String,
    client_key: String,
    client_key_data: String,
    #[serde(rename = "as")]
    impersonate: String,
    as_uid: String,
    as_groups: Vec<String>,
    as_user_extra: BTreeMap<String, Vec<String>>,
    auth_provider: Option<Fields>,
    exec: Option<Fields>,
    extensions: serde_json::Value,
}

/// An `auth-provider`.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Provider {
    name: String,
    config: BTreeMap<String, String>,
}

impl User {
    /// Reads a user's fields.
    ///
    /// # Errors
    ///
    /// For a field that is not known, and for what client-go refuses as well.
    pub fn parse(fields: &Fields) -> Result<Self, ConfigError> {
        let raw: RawUser = typed("user", fields)?;
        let plugin = raw.exec.as_ref().map(Plugin::parse).transpose()?;
        let provider = raw.auth_provider.as_ref();
        let provider: Option<Provider> = provider
            .map(|fields| typed("user.auth-provider", fields))
            .transpose()?;
        if plugin.is_some() && provider.is_some() {
            return Err(wrong(
                "user.exec and user.auth-provider are both there: take one out",
            ));
        }
        let certificate = certificate(&raw)?;
        let login = match given(&raw)? {
            Some(login) => login,
            None if certificate.is_some() && plugin.is_some() => Login::None,
            None => match (plugin, provider) {
                (Some(plugin), _) => Login::Plugin(Box::new(plugin)),
                (None, Some(provider)) => provided(provider)?,
                (None, None) => Login::None,
            },
        };
        Ok(Self {
            login,
            certificate,
            impersonates: impersonation(raw)?,
        })
    }

    /// Who has the token in `file`.
    pub fn of_token_file(file: PathBuf) -> Self {
        Self {
            login: Login::File(file, None),
            ..Self::default()
        }
    }

    /// Whether it has anything to present.
    pub fn has_credential(&self) -> bool {
        self.certificate.is_some() || !matches!(self.login, Login::None)
    }

    /// Whether it presents a certificate that its own fields hold.
    pub fn has_certificate(&self) -> bool {
        self.certificate.is_some()
    }

    /// Whether it has something for the `Authorization` header.
    pub fn has_login(&self) -> bool {
        !matches!(self.login, Login::None)
    }

    /// The plugin that it would ask.
    pub fn plugin(&self) -> Option<&Plugin> {
        match &self.login {
            Login::Plugin(plugin) => Some(plugin),
            _ => None,
        }
    }

    /// Without a credential, as for a server without TLS.
    pub(crate) fn without_credential(self) -> Self {
        Self {
            impersonates: self.impersonates,
            ..Self::default()
        }
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// What is given in the user's own fields comes before any plugin.
fn given(raw: &RawUser) -> Result<Option<Login>, ConfigError> {
    let (token, file) = (some(&raw.token), some(&raw.token_file));
    if raw.username.is_empty() && raw.password.is_empty() {
        return Ok(match (token, file) {
            (token, Some(file)) => Some(Login::File(file.into(), token)),
            (Some(token), None) => Some(Login::Token(token)),
            (None, None) => None,
        });
    }
    if token.is_some() || file.is_some() {
        return Err(wrong("user has a password and a token: only one can count"));
    }
    Ok(Some(Login::Password(
        raw.username.clone(),
        raw.password.clone(),
    )))
}

fn certificate(raw: &RawUser) -> Result<Option<Arc<dyn ResolvesClientCert>>, ConfigError> {
    let chain = pem(
        ("client-certificate", &raw.client_certificate),
        ("client-certificate-data", &raw.client_certificate_data),
    )?;
    let key = pem(
        ("client-key", &raw.client_key),
        ("client-key-data", &raw.client_key_data),
    )?;
    let Some(chain) = chain else {
        return Ok(None);
    };
    let key = key.ok_or_else(|| wrong("user.client-certificate has no client-key"))?;
    let certified = certified(&chain, &key);
    certified
        .map(Some)
        .map_err(|error| wrong(&format!("user.client-certificate: {error}")))
}

/// The content of a file or of data in its place.
fn pem(
    (file_field, file): (&str, &str),
    (data_field, data): (&str, &str),
) -> Result<Option<Vec<u8>>, ConfigError> {
    match (file.is_empty(), data.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Err(wrong(&format!(
            "user.{file_field} and user.{data_field} are both there: take one out"
        ))),
        (false, true) => read(file.as_ref())
            .map(Some)
            .map_err(|error| wrong(&format!("user.{file_field}: {error}"))),
        (true, false) => STANDARD
            .decode(data.trim())
            .map(Some)
            .map_err(|_| wrong(&format!("user.{data_field} is not base64"))),
    }
}

/// Of the providers client-go has one left.
fn provided(provider: Provider) -> Result<Login, ConfigError> {
    let name = provider.name;
    match name.as_str() {
        "oidc" => {}
        "gcp" | "azure" => {
            return Err(wrong(&format!(
                "user.auth-provider {name} is gone from Kubernetes: use its exec plugin"
            )));
        }
        _ => {
            return Err(wrong(&format!(
                "user.auth-provider {name:?} is none of Kubernetes"
            )));
        }
    }
    let token = provider
        .config
        .get("id-token")
        .filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| {
        wrong(
            "user.auth-provider oidc has no id-token: let kubectl get one by any call, then run \
             this again",
        )
    })?;
    Ok(Login::IdToken(token.clone()))
}

fn impersonation(raw: RawUser) -> Result<Impersonation, ConfigError> {
    let acts_as_part = [
        ("as-uid", !raw.as_uid.is_empty()),
        ("as-groups", !raw.as_groups.is_empty()),
        ("as-user-extra", !raw.as_user_extra.is_empty()),
    ];
    for (field, _) in acts_as_part.into_iter().filter(|(_, given)| *given) {
        if raw.impersonate.is_empty() {
            return Err(wrong(&format!("user.{field} is there without `as`")));
        }
    }
    Ok(Impersonation {
        user: some(&raw.impersonate),
        uid: some(&raw.as_uid),
        groups: raw.as_groups,
        extra: raw.as_user_extra,
    })
}
