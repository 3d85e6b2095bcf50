//! Which cluster a command is for.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use kube::{
    Client, Config,
    config::{Cluster, Context as ContextFields, KubeConfigOptions, Kubeconfig},
};

use cluster::{credential::as_clients_read_it, kubeconfig::unknown_field};
use terminal::tell;

/// Longest silence of the API server in one call.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The cluster.
#[derive(Debug, Args)]
pub(crate) struct WhereArgs {
    /// Kubeconfig of the cluster. Without it --context, and a command that always needs a cluster,
    /// take KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; otherwise the current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The cluster that this process is a pod of.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    pub(crate) in_cluster: bool,
}

/// The cluster, and KubeVirt in it.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    place: WhereArgs,
    /// KubeVirt's namespace; otherwise it is looked for in all of them.
    #[arg(long, visible_alias = "kubevirt-namespace", value_name = "NAME", value_parser = namespace)]
    pub(crate) namespace: Option<String>,
}

/// A namespace's name: a DNS label.
pub(crate) fn namespace(name: &str) -> Result<String, String> {
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let mut bytes = name.bytes();
    let is_label = name.len() <= 63
        && bytes.all(is_usual)
        && is_end(name.bytes().next())
        && is_end(name.bytes().next_back());
    if is_label {
        Ok(name.to_owned())
    } else {
        Err("not a namespace: at most 63 of a-z, 0-9 and -, with no - at an end".to_owned())
    }
}

impl ClusterArgs {
    /// A client; says on stderr of which server.
    pub(crate) async fn client(&self) -> Result<Client> {
        let (mut config, _) = self.place.config().await?;
        config.read_timeout = Some(SILENCE_MAX);
        tell!("cluster: server {}", config.cluster_url);
        Client::try_from(config).context("cannot make a client")
    }
}

impl WhereArgs {
    /// Whether a cluster was named.
    pub(crate) fn is_given(&self) -> bool {
        self.in_cluster || self.kubeconfig.is_some() || self.context.is_some()
    }

    /// Where this is, for a client that may do without a namespace.
    pub(crate) async fn config(&self) -> Result<(Config, String)> {
        let target = self.target().await?;
        Ok((target.config, target.context))
    }

    /// The API server, the user and the namespace.
    pub(crate) async fn target(&self) -> Result<Target> {
        if self.in_cluster {
            let config = Config::incluster().context("not in a cluster")?;
            // As client-go does, for pods that are told their namespace.
            let told = env::var("POD_NAMESPACE").ok();
            let namespace = told.unwrap_or_else(|| config.default_namespace.clone());
            return Ok(Target {
                config,
                context: "(in cluster)".to_owned(),
                namespace: Some(namespace).filter(|name| !name.is_empty()),
                cluster: Cluster::default(),
            });
        }
        configured(self.kubeconfig.as_deref(), self.context.as_deref()).await
    }
}

/// Which API server, as whom and in which namespace.
pub(crate) struct Target {
    /// For kube's client. Its user is as client-go reads one.
    pub(crate) config: Config,
    /// The context's name; `(in cluster)` in a pod.
    pub(crate) context: String,
    /// The namespace, if one is set.
    pub(crate) namespace: Option<String>,
    /// The cluster as the kubeconfig has it.
    pub(crate) cluster: Cluster,
}

/// A kubeconfig; without a file that of KUBECONFIG, whose files are merged, or ~/.kube/config.
/// Relative paths in it become absolute.
pub(crate) fn read(kubeconfig: Option<&Path>) -> Result<Kubeconfig> {
    match kubeconfig {
        Some(path) => {
            Kubeconfig::read_from(path).with_context(|| format!("cannot use {}", path.display()))
        }
        None => Kubeconfig::read().context("cannot use the kubeconfig"),
    }
}

/// What a kubeconfig's context names, without a name the current one.
async fn configured(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Target> {
    let kubeconfig = read(kubeconfig)?;
    let context = context
        .map(str::to_owned)
        .or(kubeconfig.current_context.clone())
        .unwrap_or_default();
    let options = KubeConfigOptions {
        context: Some(context.clone()).filter(|name| !name.is_empty()),
        ..KubeConfigOptions::default()
    };
    let (fields, cluster) = parts(&kubeconfig, &context);
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.context("cannot use the kubeconfig")?;
    if let Some(field) = unknown_field(&fields, &cluster, &config.auth_info) {
        bail!(
            "the kubeconfig's {field} is not known here, and could change who acts or where: take \
             it out"
        );
    }
    let authority = config.cluster_url.authority();
    if authority.is_some_and(|authority| authority.as_str().contains('@')) {
        bail!("the kubeconfig's cluster.server names a user, which is not supported");
    }
    config.auth_info = as_clients_read_it(config.auth_info)?;
    Ok(Target {
        config,
        context,
        namespace: fields.namespace.filter(|name| !name.is_empty()),
        cluster,
    })
}

/// A context and its cluster. What is missing is said by the client's own reader of the file.
fn parts(kubeconfig: &Kubeconfig, context: &str) -> (ContextFields, Cluster) {
    let contexts = kubeconfig.contexts.iter();
    let context = contexts
        .filter(|named| named.name == context)
        .find_map(|named| named.context.clone())
        .unwrap_or_default();
    let clusters = kubeconfig.clusters.iter();
    let cluster = clusters
        .filter(|named| named.name == context.cluster)
        .find_map(|named| named.cluster.clone())
        .unwrap_or_default();
    (context, cluster)
}
