//! Exec plugins: programs that give a credential, by the rules of client-go.

use std::{
    io::{IsTerminal, stdin},
    process::Stdio,
    sync::Arc,
};

use http::HeaderValue;
use jiff::Timestamp;
use rustls::client::ResolvesClientCert;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    header::{CredentialError, bearer},
    reading::{ConfigError, Fields, typed},
};
use identity::presented::certified;

const V1: &str = "client.authentication.k8s.io/v1";
const V1_BETA: &str = "client.authentication.k8s.io/v1beta1";

/// A plugin and what it is told.
#[derive(Clone)]
pub struct Plugin {
    command: String,
    args: Vec<String>,
    env: Vec<Variable>,
    api_version: String,
    install_hint: String,
    mode: Mode,
    /// Whether it wants to know the cluster.
    pub wants_cluster: bool,
    /// The cluster, if it wants to know.
    pub(crate) cluster: Option<Value>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
}

/// Whether it may ask the user something on the terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Never,
    IfAvailable,
    Always,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct RawPlugin {
    command: String,
    args: Vec<String>,
    env: Vec<Variable>,
    api_version: String,
    install_hint: String,
    provide_cluster_info: bool,
    interactive_mode: String,
}

/// What a plugin gave.
pub(crate) struct Given {
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) certificate: Option<Arc<dyn ResolvesClientCert>>,
    /// When it ends, if it does.
    pub(crate) ends: Option<Timestamp>,
}

/// What a plugin prints.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ExecCredential {
    kind: String,
    api_version: String,
    status: Option<ExecStatus>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ExecStatus {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<Timestamp>,
}

impl Plugin {
    pub(crate) fn parse(fields: &Fields) -> Result<Self, ConfigError> {
        let raw: RawPlugin = typed("user.exec", fields)?;
        let wrong = |words: String| ConfigError::new(format!("the kubeconfig's user.exec{words}"));
        if raw.command.is_empty() {
            return Err(wrong(" has no command".to_owned()));
        }
        if raw.env.iter().any(|variable| variable.name.is_empty()) {
            return Err(wrong(".env has a variable without a name".to_owned()));
        }
        let mode = match (raw.interactive_mode.as_str(), raw.api_version.as_str()) {
            (_, "") => return Err(wrong(" has no apiVersion".to_owned())),
            (_, version) if version != V1 && version != V1_BETA => {
                return Err(wrong(format!(".apiVersion must be {V1} or {V1_BETA}")));
            }
            ("", V1) => return Err(wrong(format!(" has no interactiveMode, which {V1} needs"))),
            ("" | "IfAvailable", _) => Mode::IfAvailable,
            ("Never", _) => Mode::Never,
            ("Always", _) => Mode::Always,
            _ => {
                let words = ".interactiveMode must be Never, IfAvailable or Always";
                return Err(wrong(words.to_owned()));
            }
        };
        Ok(Self {
            command: raw.command,
            args: raw.args,
            env: raw.env,
            api_version: raw.api_version,
            install_hint: raw.install_hint,
            mode,
            wants_cluster: raw.provide_cluster_info,
            cluster: None,
        })
    }

    /// Runs it. With `alone` it may have the terminal; later a command has it, and a plugin that
    /// can do without is not given it.
    pub(crate) async fn ask(&self, alone: bool) -> Result<Given, CredentialError> {
        let is_interactive = self.is_interactive(alone)?;
        let mut command = Command::new(&self.command);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|one| (&one.name, &one.value)))
            .env("KUBERNETES_EXEC_INFO", self.told(is_interactive))
            .stdin(if is_interactive {
                Stdio::inherit()
            } else {
                Stdio::null()
            })
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let output = command.output().await.map_err(|error| {
            let hint = match self.install_hint.trim() {
                "" => String::new(),
                hint => format!("; the kubeconfig's installHint: {hint}"),
            };
            self.failed(&format!("can't be run: {error}{hint}"))
        })?;
        if !output.status.success() {
            return Err(self.failed(&format!("failed: {}", output.status)));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let credential: ExecCredential =
            serde_saphyr::from_str(&text).map_err(|_| self.failed("printed no ExecCredential"))?;
        self.read(credential)
    }

    fn is_interactive(&self, alone: bool) -> Result<bool, CredentialError> {
        match self.mode {
            Mode::Never => Ok(false),
            Mode::IfAvailable => Ok(alone && stdin().is_terminal()),
            Mode::Always if stdin().is_terminal() => Ok(true),
            Mode::Always => {
                Err(self.failed("has interactiveMode Always, and standard input is no terminal"))
            }
        }
    }

    /// What it is told of its caller. One that asked for the cluster may give each cluster a
    /// credential of its own.
    fn told(&self, is_interactive: bool) -> String {
        let mut info = json!({
            "apiVersion": self.api_version,
            "kind": "ExecCredential",
            "spec": {"interactive": is_interactive},
        });
        if let Some(cluster) = &self.cluster {
            info["spec"]["cluster"] = cluster.clone();
        }
        info.to_string() + "\n"
    }

    /// One that gives nothing, or half of a pair, must not make the user anonymous.
    fn read(&self, credential: ExecCredential) -> Result<Given, CredentialError> {
        if credential.kind != "ExecCredential" || credential.api_version != self.api_version {
            let version = &self.api_version;
            return Err(self.failed(&format!("printed no ExecCredential of {version}")));
        }
        let status = credential
            .status
            .ok_or_else(|| self.failed("gave no status"))?;
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let token = some(status.token);
        let pair = (
            some(status.client_certificate_data),
            some(status.client_key_data),
        );
        let certificate = match pair {
            (Some(chain), Some(key)) => {
                let certified = certified(chain.as_bytes(), key.as_bytes());
                Some(certified.map_err(|error| self.failed(&error.to_string()))?)
            }
            (None, None) if token.is_some() => None,
            (None, None) => return Err(self.failed("gave no token and no certificate")),
            _ => return Err(self.failed("gave a certificate or a key, not both")),
        };
        Ok(Given {
            authorization: token.map(|token| bearer(&token)).transpose()?,
            certificate,
            ends: status.expiration_timestamp,
        })
    }

    fn failed(&self, words: &str) -> CredentialError {
        CredentialError::new(format!("the exec plugin {} {words}", self.command))
    }
}
