//! The proxies of a cluster, found in the pods that `kubetoll attach` gave them to.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::{Args, ValueEnum};
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::cluster::namespace;
use driver::{
    Roster, RosterChanges,
    proxies::ProxyClient,
    reach::{PodProxy, Way, reach},
};
use install::{Attached, Installer, Member};
use record::PodRecord;
use terminal::tell;

/// Which proxies take part where none is named by its address.
#[derive(Debug, Args)]
pub(crate) struct DiscoverArgs {
    /// KubeVirt's namespace, where attached proxies are looked for; otherwise all are searched.
    #[arg(long, value_name = "NAME", value_parser = namespace, conflicts_with = "proxy")]
    pub(crate) kubevirt_namespace: Option<String>,
    /// How the admin ports of attached proxies are reached; auto takes the first that works
    /// [default: auto].
    #[arg(long, value_enum, value_name = "WAY", conflicts_with = "proxy")]
    proxy_via: Option<Via>,
}

impl DiscoverArgs {
    /// Whether anything was asked for.
    pub(crate) fn is_given(&self) -> bool {
        self.kubevirt_namespace.is_some() || self.proxy_via.is_some()
    }
}

/// Ways to the admin port of a pod's proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Via {
    /// In a cluster pod-network, port-forward, api-server; else the last two first.
    #[default]
    Auto,
    /// Straight to the pod's address.
    PodNetwork,
    /// Through API server and kubelet, as kubectl port-forward does.
    PortForward,
    /// Through the API server's pod proxy; each look is one call of it.
    ApiServer,
}

impl Via {
    /// The ways to try, the best one first.
    pub(crate) fn ways(self, in_cluster: bool) -> Vec<Way> {
        match self {
            Self::Auto if in_cluster => vec![Way::PodNetwork, Way::PortForward, Way::ApiServer],
            Self::Auto => vec![Way::PortForward, Way::ApiServer, Way::PodNetwork],
            Self::PodNetwork => vec![Way::PodNetwork],
            Self::PortForward => vec![Way::PortForward],
            Self::ApiServer => vec![Way::ApiServer],
        }
    }
}

/// The attached proxies, and the pods that they are in.
pub(crate) struct Fleet {
    installer: Installer<'static>,
    found: Attached,
    /// One for each pod, in the same order.
    pub(crate) proxies: Vec<ProxyClient>,
}

impl Roster for Fleet {
    fn changes(&self) -> RosterChanges<'_> {
        Box::pin(async {
            let now = self.installer.attached_now().await;
            let now = now.map_err(|error| error.to_string())?;
            Ok(self.found.changes(&now))
        })
    }
}

impl Fleet {
    /// Finds them and a way to them, and says both on stderr. `client` is the API server, directly.
    pub(crate) async fn find(
        client: Client,
        args: &DiscoverArgs,
        token_file: Option<&PathBuf>,
        in_cluster: bool,
    ) -> Result<Self> {
        let installer = Installer {
            client,
            namespace: args.kubevirt_namespace.clone(),
            timeout: Duration::ZERO,
            stop: CancellationToken::new(),
            say: &|_| (),
        };
        let found = installer.attached().await?;
        let token = match token_file {
            Some(file) => identity::read_token(file)?,
            None => installer.admin_token(&found.namespace).await?,
        };
        let members = found.members.iter();
        let pods: Vec<PodProxy> = members
            .map(|one| pod_proxy(&found.namespace, one))
            .collect();
        let ways = args.proxy_via.unwrap_or_default().ways(in_cluster);
        let reached = reach(&installer.client, &pods, &ways, &token).await?;
        for reason in &reached.passed_over {
            tell!("{reason}");
        }
        say(&found, reached.way);
        Ok(Self {
            installer,
            found,
            proxies: reached.proxies,
        })
    }

    /// KubeVirt's version by its own object.
    pub(crate) fn kubevirt_version(&self) -> &str {
        &self.found.kubevirt_version
    }
}

fn pod_proxy(namespace: &str, member: &Member) -> PodProxy {
    let proxy = member.proxy();
    PodProxy {
        pod: PodRecord {
            component: member.component.name().to_owned(),
            namespace: namespace.to_owned(),
            name: member.pod.clone(),
            uid: member.uid.clone(),
            node: member.node.clone(),
            started: proxy.started,
            restarts: proxy.restarts,
            via: String::new(),
        },
        address: member.address.clone(),
        port: member.port.unwrap_or_default(),
    }
}

fn say(found: &Attached, way: Way) {
    tell!("attached proxies, read by {}:", way.name());
    for member in &found.members {
        tell!("  {}: {}", member.component.name(), member.title());
    }
    let without: Vec<_> = found.without.iter().map(|one| one.name()).collect();
    if !without.is_empty() {
        let names = without.join(", ");
        tell!("without a proxy, so that their calls are not counted: {names}");
    }
}
