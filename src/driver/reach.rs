//! Ways to the admin ports of proxies in pods, and the choice of one by which all answer.

use std::net::IpAddr;

use kube::Client;

use super::{
    at_once::ask_all,
    proxies::{ProxyClient, ProxyError},
    transport::AdminTransport,
};
use cluster::rights::{Missing, Rule, missing};
use record::PodRecord;

/// A way to the admin port of a pod's proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Straight to the pod's address.
    PodNetwork,
    /// Through API server and kubelet, as kubectl port-forward does.
    PortForward,
    /// Through the API server's pod proxy; each look is one call of it.
    ApiServer,
}

/// A pod with a proxy.
#[derive(Debug, Clone)]
pub struct PodProxy {
    /// The pod as the record has it, but for the way.
    pub pod: PodRecord,
    /// The pod's IP address; empty if it has none yet.
    pub address: String,
    /// The proxy's admin port.
    pub port: u16,
}

/// Proxies, and the way by which all of them answer.
pub struct Reached {
    /// The first of the ways that leads to all of them.
    pub way: Way,
    /// One for each pod, in the same order.
    pub proxies: Vec<ProxyClient>,
    /// Why the ways before this one do not lead to all of them.
    pub passed_over: Vec<String>,
}

/// Why the proxies are not reached.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The API server doesn't say what the user may do.
    #[error(transparent)]
    Rights(#[from] kube::Error),
    /// A proxy doesn't take the token, by whatever way it is asked.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// No way leads to all of them: the reason for each.
    #[error("the attached proxies can't be read:\n  {}", .0.join("\n").replace('\n', "\n  "))]
    NoWay(Vec<String>),
}

impl Way {
    /// `pod-network`, `port-forward` or `api-server`.
    pub fn name(self) -> &'static str {
        match self {
            Self::PodNetwork => "pod-network",
            Self::PortForward => "port-forward",
            Self::ApiServer => "api-server",
        }
    }

    /// What a user must be allowed for it, in the pods' namespace.
    pub fn rights(self) -> Vec<Rule> {
        let on = |resource, verbs: &[&'static str]| {
            let rules = verbs.iter().map(|verb| Rule::new(verb, "", resource));
            rules.collect()
        };
        match self {
            // The WebSocket's GET, and from Kubernetes 1.35 on what kubectl's POST needs too.
            Self::PortForward => on("pods/portforward", &["get", "create"]),
            Self::ApiServer => on("pods/proxy", &["get", "update", "delete"]),
            Self::PodNetwork => Vec::new(),
        }
    }

    fn transport(self, client: &Client, to: &PodProxy) -> AdminTransport {
        let (client, port) = (client.clone(), to.port);
        let (namespace, pod) = (&to.pod.namespace, &to.pod.name);
        match self {
            Self::PortForward => AdminTransport::port_forward(client, namespace, pod, port),
            Self::ApiServer => AdminTransport::api_server(client, namespace, pod, port),
            Self::PodNetwork => AdminTransport::network(match to.address.parse() {
                Ok(IpAddr::V6(address)) => format!("http://[{address}]:{port}"),
                _ => format!("http://{}:{port}", to.address),
            }),
        }
    }

    /// What to look at where a proxy doesn't answer by it.
    fn advice(self) -> &'static str {
        match self {
            Self::PortForward => "does the API server reach the kubelet of that node?",
            Self::ApiServer => "does the API server reach pods, and does a NetworkPolicy let it?",
            Self::PodNetwork => {
                "is this machine in the pod network, and does a NetworkPolicy let it in?"
            }
        }
    }

    fn client(
        self,
        client: &Client,
        to: &PodProxy,
        token: &str,
    ) -> Result<ProxyClient, ProxyError> {
        let pod = PodRecord {
            via: self.name().to_owned(),
            ..to.pod.clone()
        };
        let place = format!("pod {}/{}:{}", pod.namespace, pod.name, to.port);
        ProxyClient::of_pod(pod, place, self.transport(client, to), token)
    }
}

/// The proxies of `pods`, all in one namespace, by the first of `ways` by which every one answers
/// and takes `token`. `client` is the API server, directly.
pub async fn reach(
    client: &Client,
    pods: &[PodProxy],
    ways: &[Way],
    token: &str,
) -> Result<Reached, ReachError> {
    let mut passed_over = Vec::new();
    for way in ways.iter().copied() {
        match attempt(client, pods, way, token).await? {
            Attempt::All(proxies) => {
                return Ok(Reached {
                    way,
                    proxies,
                    passed_over,
                });
            }
            Attempt::NotAll(reason) => passed_over.push(format!("{}: {reason}", way.name())),
        }
    }
    Err(ReachError::NoWay(passed_over))
}

/// What trying a way comes to.
enum Attempt {
    /// Every proxy answers; one for each pod, in the same order.
    All(Vec<ProxyClient>),
    /// It does not lead to all of them, and why.
    NotAll(String),
}

/// A proxy that does not take the token won't by another way: that is an error.
async fn attempt(
    client: &Client,
    pods: &[PodProxy],
    way: Way,
    token: &str,
) -> Result<Attempt, ReachError> {
    if let Some(missing) = lacking(client, pods, way).await? {
        return Ok(Attempt::NotAll(missing.to_string()));
    }
    let clients = pods.iter().map(|pod| way.client(client, pod, token));
    let proxies: Vec<ProxyClient> = clients.collect::<Result<_, _>>()?;
    for answer in ask_all(&proxies, ProxyClient::probe).await {
        match answer {
            Ok(()) => {}
            Err(error @ ProxyError::WrongToken { .. }) => return Err(error.into()),
            Err(error) => return Ok(Attempt::NotAll(format!("{error}; {}", way.advice()))),
        }
    }
    Ok(Attempt::All(proxies))
}

async fn lacking(client: &Client, pods: &[PodProxy], way: Way) -> kube::Result<Option<Missing>> {
    let namespace = pods.first().map(|one| one.pod.namespace.as_str());
    missing(client, namespace, &way.rights()).await
}
