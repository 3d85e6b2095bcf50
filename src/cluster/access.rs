//! Which API server, how it is reached and trusted, as whom and in which namespace: a kubeconfig's
//! context read as kubectl reads it.

use std::{
    env,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Uri;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    plugin::Plugin,
    reading::{Chosen, ConfigError, Fields, Kubeconfig, typed, wrong},
    user::{Login, User},
};
use identity::{
    read,
    upstream::{CaSource, SERVICE_ACCOUNT, Upstream},
    way::Way,
};

/// The extension of a cluster that is for its plugins.
const PLUGIN_EXTENSION: &str = "client.authentication.k8s.io/exec";

/// An API server and its user.
#[derive(Clone)]
pub struct Access {
    /// The context's name; `(in cluster)` in a pod.
    pub context: String,
    /// Where it is: `https://HOST:PORT/PATH`, or `http://`.
    pub upstream: Upstream,
    /// How it is reached.
    pub way: Way,
    /// The namespace, if one is set.
    pub namespace: Option<String>,
    /// The user.
    pub user: User,
    /// The kubeconfig and what was chosen in it; `None` in a pod.
    pub source: Option<(Kubeconfig, Chosen)>,
}

/// A context as a kubeconfig has it.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Context {
    cluster: String,
    user: String,
    namespace: String,
    extensions: Value,
}

/// A cluster as a kubeconfig has it.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
struct Cluster {
    server: String,
    tls_server_name: String,
    insecure_skip_tls_verify: bool,
    certificate_authority: String,
    certificate_authority_data: String,
    proxy_url: String,
    disable_compression: bool,
    extensions: Vec<Extension>,
}

#[derive(Deserialize)]
struct Extension {
    name: String,
    #[serde(default)]
    extension: Value,
}

impl Access {
    /// What a context of `file`, or of the usual kubeconfigs, stands for; where there is none and
    /// this is a pod, the pod's own cluster.
    ///
    /// # Errors
    ///
    /// For a field that can't be followed, by its name.
    pub fn configured(file: Option<&Path>, context: Option<&str>) -> Result<Self, ConfigError> {
        let kubeconfig = Kubeconfig::read(file)?;
        if !kubeconfig.is_empty() {
            return Self::chosen(kubeconfig, context);
        }
        if file.is_none() && context.is_none() && is_in_cluster() {
            return Self::in_cluster();
        }
        Err(ConfigError::new(match file {
            Some(file) => format!("kubeconfig {}: it is empty", file.display()),
            None => "there is no kubeconfig: neither KUBECONFIG nor ~/.kube/config names a cluster"
                .to_owned(),
        }))
    }

    fn chosen(kubeconfig: Kubeconfig, context: Option<&str>) -> Result<Self, ConfigError> {
        let chosen = kubeconfig.choose(context)?;
        let fields: Context = typed("context", &chosen.context.fields)?;
        let cluster: Cluster = typed("cluster", &chosen.cluster.fields)?;
        let none = Fields::new();
        let user = chosen.user.as_ref().map_or(&none, |user| &user.fields);
        let mut user = User::parse(user)?;
        let upstream = cluster.upstream()?;
        let way = cluster.way(&upstream.url)?;
        if upstream.url.starts_with("http://") {
            user = user.without_credential();
        } else if let Login::Plugin(plugin) = &mut user.login {
            cluster.tell(plugin)?;
        }
        Ok(Self {
            context: chosen.context.name.clone(),
            upstream,
            way,
            namespace: Some(fields.namespace).filter(|name| !name.is_empty()),
            user,
            source: Some((kubeconfig, chosen)),
        })
    }

    /// The cluster that this process is a pod of.
    ///
    /// # Errors
    ///
    /// Where it is none.
    pub fn in_cluster() -> Result<Self, ConfigError> {
        let upstream =
            Upstream::in_cluster().map_err(|error| ConfigError::new(error.to_string()))?;
        let way = way(&upstream.url, None)?;
        let told = env::var("POD_NAMESPACE")
            .ok()
            .filter(|name| !name.is_empty());
        let namespace = told.or_else(|| {
            let file = Path::new(SERVICE_ACCOUNT).join("namespace");
            let name = std::fs::read_to_string(file).ok()?;
            Some(name.trim().to_owned()).filter(|name| !name.is_empty())
        });
        Ok(Self {
            context: "(in cluster)".to_owned(),
            upstream,
            way,
            namespace,
            user: User::of_token_file(token_file()),
            source: None,
        })
    }

    /// Whether TLS is on the way to the API server.
    pub fn is_plain(&self) -> bool {
        self.upstream.url.starts_with("http://")
    }

    /// Whether nobody checks who the API server is.
    pub fn is_unchecked(&self) -> bool {
        self.upstream.ca == CaSource::Unchecked
    }
}

fn token_file() -> PathBuf {
    Path::new(SERVICE_ACCOUNT).join("token")
}

/// As client-go has it.
fn is_in_cluster() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    is_set("KUBERNETES_SERVICE_HOST") && is_set("KUBERNETES_SERVICE_PORT") && token_file().is_file()
}

fn way(server: &str, proxy_url: Option<&str>) -> Result<Way, ConfigError> {
    let server: Uri = server
        .parse()
        .map_err(|_| wrong("cluster.server is not a URL"))?;
    let way = Way::of(&server, proxy_url, |name| env::var(name).ok());
    way.map_err(|error| ConfigError::new(error.to_string()))
}

impl Cluster {
    fn upstream(&self) -> Result<Upstream, ConfigError> {
        Ok(Upstream {
            url: self.url()?,
            ca: self.ca()?,
            server_name: Some(self.tls_server_name.clone()).filter(|name| !name.is_empty()),
        })
    }

    /// A bare HOST:PORT has no TLS, whatever else the kubeconfig says of TLS.
    fn url(&self) -> Result<String, ConfigError> {
        let server = self.server.trim();
        if server.is_empty() {
            return Err(wrong("cluster has no server"));
        }
        let url = if server.contains("://") {
            server.to_owned()
        } else {
            format!("http://{server}")
        };
        let not_a_url = || wrong("cluster.server is not a URL");
        let uri: Uri = url.parse().map_err(|_| not_a_url())?;
        let authority = uri.authority().ok_or_else(not_a_url)?;
        if authority.as_str().contains('@') {
            return Err(wrong("cluster.server names a user, which is not supported"));
        }
        if !matches!(uri.scheme_str(), Some("https" | "http")) {
            return Err(wrong("cluster.server must begin with https://"));
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(wrong(
                "cluster.server has a query, which kubectl drops: take it out",
            ));
        }
        Ok(url.trim_end_matches('/').to_owned())
    }

    fn ca(&self) -> Result<CaSource, ConfigError> {
        let (file, data) = (
            &self.certificate_authority,
            &self.certificate_authority_data,
        );
        match (
            file.is_empty(),
            data.is_empty(),
            self.insecure_skip_tls_verify,
        ) {
            (true, true, true) => Ok(CaSource::Unchecked),
            (_, _, true) => Err(wrong(
                "cluster.insecure-skip-tls-verify stands beside a certificate-authority: take one \
                 out",
            )),
            (false, false, _) => Err(wrong(
                "cluster.certificate-authority and cluster.certificate-authority-data are both \
                 there: take one out",
            )),
            (false, true, _) => Ok(CaSource::File(file.into())),
            (true, false, _) => {
                let pem = STANDARD.decode(data.trim());
                let pem =
                    pem.map_err(|_| wrong("cluster.certificate-authority-data is not base64"))?;
                Ok(CaSource::Pem(pem))
            }
            (true, true, false) => Ok(CaSource::System),
        }
    }

    fn way(&self, server: &str) -> Result<Way, ConfigError> {
        let proxy_url = Some(self.proxy_url.as_str()).filter(|url| !url.is_empty());
        let way = way(server, proxy_url)?;
        match &way {
            Way::Through(proxy) if server.starts_with("http://") => Err(wrong(&format!(
                "cluster.server has no TLS, and {proxy} stands before it: such requests are not \
                 supported"
            ))),
            _ => Ok(way),
        }
    }

    /// Tells a plugin of the cluster, if it wants to know.
    fn tell(&self, plugin: &mut Plugin) -> Result<(), ConfigError> {
        if !plugin.wants_cluster {
            return Ok(());
        }
        let mut told = json!({"server": self.server, "config": null});
        let mut tell = |name: &str, value: Value| told[name] = value;
        if !self.tls_server_name.is_empty() {
            tell("tls-server-name", json!(self.tls_server_name));
        }
        if self.insecure_skip_tls_verify {
            tell("insecure-skip-tls-verify", json!(true));
        }
        if let Some(data) = self.ca_data()? {
            tell("certificate-authority-data", json!(data));
        }
        if !self.proxy_url.is_empty() {
            tell("proxy-url", json!(self.proxy_url));
        }
        if self.disable_compression {
            tell("disable-compression", json!(true));
        }
        let mut extensions = self.extensions.iter();
        if let Some(own) = extensions.rfind(|one| one.name == PLUGIN_EXTENSION) {
            tell("config", own.extension.clone());
        }
        plugin.cluster = Some(told);
        Ok(())
    }

    fn ca_data(&self) -> Result<Option<String>, ConfigError> {
        if !self.certificate_authority_data.is_empty() {
            return Ok(Some(self.certificate_authority_data.clone()));
        }
        if self.certificate_authority.is_empty() {
            return Ok(None);
        }
        let pem = read(self.certificate_authority.as_ref())
            .map_err(|error| wrong(&format!("cluster.certificate-authority: {error}")))?;
        Ok(Some(STANDARD.encode(pem)))
    }
}
