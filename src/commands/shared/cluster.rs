//! Which cluster a command is for.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, anyhow};
use clap::Args;
use kube::Client;

use cluster::{
    access::Access,
    client::{Manner, client},
};
use terminal::tell;

/// Longest silence of the API server in one call.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The cluster.
#[derive(Debug, Args)]
pub(crate) struct WhereArgs {
    /// Kubeconfig of the cluster. Without it --context, and a command that always needs a cluster,
    /// take KUBECONFIG, whose files are merged, or ~/.kube/config; in a pod without one, the pod's
    /// own cluster. It means what it means to kubectl, and so do HTTPS_PROXY and NO_PROXY.
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
        let access = self.place.access()?;
        tell!("cluster: server {}", access.upstream.url);
        let manner = Manner {
            silence_max: Some(SILENCE_MAX),
            retries: true,
        };
        client_of(&access, manner).await
    }
}

/// A client that behaves as it is told to.
pub(crate) async fn client_of(access: &Access, manner: Manner) -> Result<Client> {
    let client = client(access, manner).await;
    client.map_err(|error| anyhow!("cannot make a client: {error}"))
}

impl WhereArgs {
    /// Whether a cluster was named.
    pub(crate) fn is_given(&self) -> bool {
        self.in_cluster || self.kubeconfig.is_some() || self.context.is_some()
    }

    /// The API server, the user and the namespace. What somebody should know of them is said on
    /// stderr.
    pub(crate) fn access(&self) -> Result<Access> {
        let access = if self.in_cluster {
            Access::in_cluster()?
        } else {
            Access::configured(self.kubeconfig.as_deref(), self.context.as_deref())?
        };
        if access.is_unchecked() {
            tell!(
                "kubetoll: insecure-skip-tls-verify: nobody checks who {} is, as the kubeconfig \
                 asks",
                access.upstream.url
            );
        }
        Ok(access)
    }
}
