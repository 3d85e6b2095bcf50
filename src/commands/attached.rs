//! The proxies of a cluster, found in the pods that `kubetoll attach` gave them to.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::cluster::namespace;
use cluster::rights::{Missing, Rule, missing};
use driver::{
    Roster, RosterChanges,
    proxies::{ProxyClient, ProxyError},
    transport::AdminTransport,
};
use install::{Attached, Installer, Member};
use record::PodRecord;
use terminal::tell;

/// Which proxies take part where none is named by its address.
#[derive(Debug, Args)]
pub(super) struct DiscoverArgs {
    /// KubeVirt's namespace, where attached proxies are looked for; otherwise all are searched.
    #[arg(long, value_name = "NAME", value_parser = namespace, conflicts_with = "proxy")]
    pub(super) kubevirt_namespace: Option<String>,
    /// How the admin ports of attached proxies are reached; auto takes the first that works
    /// [default: auto].
    #[arg(long, value_enum, value_name = "WAY", conflicts_with = "proxy")]
    proxy_via: Option<Via>,
}

impl DiscoverArgs {
    /// Whether anything was asked for.
    pub(super) fn is_given(&self) -> bool {
        self.kubevirt_namespace.is_some() || self.proxy_via.is_some()
    }
}

/// Ways to the admin port of a pod's proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Via {
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

impl fmt::Display for Via {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::PodNetwork => "pod-network",
            Self::PortForward => "port-forward",
            Self::ApiServer => "api-server",
        })
    }
}

impl Via {
    /// The ways to try, the best one first.
    fn ways(self, in_cluster: bool) -> Vec<Self> {
        match self {
            Self::Auto if in_cluster => vec![Self::PodNetwork, Self::PortForward, Self::ApiServer],
            Self::Auto => vec![Self::PortForward, Self::ApiServer, Self::PodNetwork],
            one => vec![one],
        }
    }

    /// What a user must be allowed for it, in KubeVirt's namespace.
    pub(super) fn rights(self) -> Vec<Rule> {
        let on = |resource, verbs: &[&'static str]| {
            let rules = verbs.iter().map(|verb| Rule::new(verb, "", resource));
            rules.collect()
        };
        match self {
            // The WebSocket's GET, and from Kubernetes 1.35 on what kubectl's POST needs too.
            Self::PortForward => on("pods/portforward", &["get", "create"]),
            Self::ApiServer => on("pods/proxy", &["get", "update", "delete"]),
            Self::PodNetwork | Self::Auto => Vec::new(),
        }
    }

    fn transport(
        self,
        client: &Client,
        namespace: &str,
        member: &Member,
        port: u16,
    ) -> AdminTransport {
        let pod = &member.pod;
        match self {
            Self::PortForward => AdminTransport::port_forward(client.clone(), namespace, pod, port),
            Self::ApiServer => AdminTransport::api_server(client.clone(), namespace, pod, port),
            Self::PodNetwork | Self::Auto => {
                AdminTransport::network(match member.address.parse() {
                    Ok(IpAddr::V6(address)) => format!("http://[{address}]:{port}"),
                    _ => format!("http://{}:{port}", member.address),
                })
            }
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::PortForward => "does the API server reach the kubelet of that node?",
            Self::ApiServer => "does the API server reach pods, and does a NetworkPolicy let it?",
            Self::PodNetwork | Self::Auto => {
                "is this machine in the pod network, and does a NetworkPolicy let it in?"
            }
        }
    }
}

/// The attached proxies, and the pods that they are in.
pub(super) struct Fleet {
    installer: Installer<'static>,
    found: Attached,
    /// One for each pod, in the same order.
    pub(super) proxies: Vec<ProxyClient>,
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
    pub(super) async fn find(
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
        let mut fleet = Self {
            installer,
            found,
            proxies: Vec::new(),
        };
        let via = fleet
            .choose(&args.proxy_via.unwrap_or_default().ways(in_cluster), &token)
            .await?;
        fleet.tell(via);
        Ok(fleet)
    }

    /// KubeVirt's version by its own object.
    pub(super) fn kubevirt_version(&self) -> &str {
        &self.found.kubevirt_version
    }

    /// Takes the first way by which every proxy answers.
    async fn choose(&mut self, ways: &[Via], token: &str) -> Result<Via> {
        let mut reasons = Vec::new();
        for via in ways {
            let lacking = self.lacks(*via).await?;
            let tried = match lacking {
                Some(missing) => Err(missing.to_string()),
                None => self.try_way(*via, token).await?,
            };
            match tried {
                Ok(proxies) => {
                    for reason in reasons {
                        tell!("{reason}");
                    }
                    self.proxies = proxies;
                    return Ok(*via);
                }
                Err(reason) => reasons.push(format!("{via}: {reason}")),
            }
        }
        bail!("the attached proxies can't be read\n{}", reasons.join("\n"))
    }

    async fn lacks(&self, via: Via) -> kube::Result<Option<Missing>> {
        let namespace = Some(self.found.namespace.as_str());
        missing(&self.installer.client, namespace, &via.rights()).await
    }

    /// The proxies by one way, or why it does not lead to all of them. A proxy that does not take
    /// the token won't by another way.
    async fn try_way(
        &self,
        via: Via,
        token: &str,
    ) -> Result<Result<Vec<ProxyClient>, String>, ProxyError> {
        let mut proxies = Vec::new();
        for member in &self.found.members {
            let proxy = self.proxy(member, via, token)?;
            match proxy.probe().await {
                Ok(()) => proxies.push(proxy),
                Err(error @ ProxyError::WrongToken { .. }) => return Err(error),
                Err(error) => return Ok(Err(format!("{error}; {}", via.advice()))),
            }
        }
        Ok(Ok(proxies))
    }

    fn proxy(&self, member: &Member, via: Via, token: &str) -> Result<ProxyClient, ProxyError> {
        let namespace = &self.found.namespace;
        let port = member.port.unwrap_or_default();
        let transport = via.transport(&self.installer.client, namespace, member, port);
        let pod = PodRecord {
            component: member.component.name().to_owned(),
            namespace: namespace.clone(),
            name: member.pod.clone(),
            uid: member.uid.clone(),
            node: member.node.clone(),
            started: member.proxy().started,
            restarts: member.proxy().restarts,
            via: via.to_string(),
        };
        let place = format!("pod {namespace}/{}:{port}", member.pod);
        ProxyClient::of_pod(pod, place, transport, token)
    }

    fn tell(&self, via: Via) {
        tell!("attached proxies, read by {via}:");
        for member in &self.found.members {
            tell!("  {}: {}", member.component.name(), member.title());
        }
        let without: Vec<_> = self.found.without.iter().map(|one| one.name()).collect();
        if !without.is_empty() {
            let names = without.join(", ");
            tell!("without a proxy, so that their calls are not counted: {names}");
        }
    }
}
