//! Which cluster a command is for.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// Longest silence of the API server in one call.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The cluster.
#[derive(Debug, Args)]
pub(super) struct WhereArgs {
    /// Kubeconfig of the cluster. Without it --context, and a command that always needs a cluster,
    /// take KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; otherwise the current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The cluster that this process is a pod of.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    pub(super) in_cluster: bool,
}

/// The cluster, and KubeVirt in it.
#[derive(Debug, Args)]
pub(super) struct ClusterArgs {
    #[command(flatten)]
    place: WhereArgs,
    /// KubeVirt's namespace; otherwise it is looked for in all of them.
    #[arg(long, visible_alias = "kubevirt-namespace", value_name = "NAME", value_parser = namespace)]
    pub(super) namespace: Option<String>,
}

/// A namespace's name: a DNS label.
pub(super) fn namespace(name: &str) -> Result<String, String> {
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
    pub(super) async fn client(&self) -> Result<Client> {
        let (mut config, _) = self.place.config().await?;
        config.read_timeout = Some(SILENCE_MAX);
        tell!("cluster: server {}", config.cluster_url);
        Client::try_from(config).context("cannot make a client")
    }
}

impl WhereArgs {
    /// Whether a cluster was named.
    pub(super) fn is_given(&self) -> bool {
        self.in_cluster || self.kubeconfig.is_some() || self.context.is_some()
    }

    /// The client's configuration, and the name of the context.
    pub(super) async fn config(&self) -> Result<(Config, String)> {
        if self.in_cluster {
            let config = Config::incluster().context("not in a cluster")?;
            return Ok((config, "(in cluster)".to_owned()));
        }
        configured(self.kubeconfig.as_deref(), self.context.as_deref()).await
    }
}

/// The configuration of a kubeconfig's context, and that context's name; without a file the one
/// of KUBECONFIG or ~/.kube/config, without a name the current one.
pub(super) async fn configured(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<(Config, String)> {
    let kubeconfig = match kubeconfig {
        Some(path) => {
            Kubeconfig::read_from(path).with_context(|| format!("cannot use {}", path.display()))?
        }
        None => Kubeconfig::read().context("cannot use the kubeconfig")?,
    };
    let context = context
        .map(str::to_owned)
        .or(kubeconfig.current_context.clone());
    let options = KubeConfigOptions {
        context: context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let config = config.context("cannot use the kubeconfig")?;
    Ok((config, context.unwrap_or_default()))
}
