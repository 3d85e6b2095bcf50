//! What can go wrong with an installation, and whose turn it is then.

use super::component::Component;
use cluster::{causes::of_api_server, rights::Missing};
use identity::IdentityError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The API server can't be reached, or refuses something.
    #[error("{what}: {message}")]
    Api {
        /// What was being done.
        what: String,
        /// What the API server says.
        message: String,
    },
    /// There is no KubeVirt object in the namespace, or in any.
    #[error("there is no KubeVirt object{}: KubeVirt is not installed there", in_namespace(.0))]
    NoKubeVirt(Option<String>),
    /// There is more than one; their namespaces.
    #[error("there are several KubeVirt objects, in {}: choose with --namespace", .0.join(", "))]
    SeveralKubeVirts(Vec<String>),
    /// The user may not do what the command does.
    #[error("{0}")]
    NoRights(Missing),
    /// No pod has a proxy.
    #[error(
        "nothing is attached to KubeVirt in namespace {0}: `kubetoll attach` puts proxies in; name \
         others by their admin address with --proxy"
    )]
    NothingAttached(String),
    /// A component whose calls would be counted in part.
    #[error("not all attached pods can take part: {}", .0.join("; "))]
    NotReady(Vec<String>),
    /// The admin ports ask for a token that is not there.
    #[error(
        "Secret kubetoll-proxy-tls holds no token for the admin ports: name a file that has it \
         with --proxy-token-file"
    )]
    NoToken,
    /// Another operator would revert the change.
    #[error("{0}")]
    Owned(String),
    /// The cluster is too old for native sidecars.
    #[error("the cluster is {0}: native sidecars need Kubernetes 1.29 or newer")]
    NoSidecars(String),
    /// virt-operator would drop what makes an init container a native sidecar.
    #[error(
        "KubeVirt is {0}: its virt-operator knows no native sidecars, which came with KubeVirt 1.3"
    )]
    OldKubeVirt(String),
    /// A component can't have a proxy.
    #[error("{} can't be attached: {reason}", component.name())]
    Obstacle {
        /// The component that it is about.
        component: Component,
        /// What stands in the way.
        reason: String,
    },
    /// An object of that name belongs to somebody else.
    #[error("{kind} {name} is there and not Kubetoll's: rename or remove it")]
    Foreign {
        /// The object's kind.
        kind: &'static str,
        /// The object's name.
        name: &'static str,
    },
    /// Secret and ConfigMap don't belong together.
    #[error(
        "the Secret and the ConfigMap of an earlier attach don't belong together: run `kubetoll \
         detach` first"
    )]
    HalfAttached,
    /// A rollout took too long.
    #[error("the rollout of {} did not end within {seconds} s: {detail}", component.name())]
    NotRolledOut {
        /// The component that it is about.
        component: Component,
        /// How long was waited.
        seconds: u64,
        /// How far it is.
        detail: String,
    },
    /// The proxy runs, and the component does not use it.
    #[error("no calls of {} were seen within {seconds} s: {detail}", component.name())]
    NoCalls {
        /// The component that it is about.
        component: Component,
        /// How long was waited.
        seconds: u64,
        /// Which pods, and what they answered.
        detail: String,
    },
    /// Somebody else writes the same object all the time.
    #[error("{0} changes all the time: try again")]
    Contended(&'static str),
    /// Certificates can't be made or read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It failed, and everything is as it was.
    #[error("{0}; everything was put back as it was")]
    Undone(Box<Self>),
    /// It failed, and not everything could be put back.
    #[error("{cause}; putting everything back failed: {left}. `kubetoll detach` does the rest")]
    LeftBehind {
        /// Why the attach failed.
        cause: Box<Self>,
        /// Why putting back failed.
        left: Box<Self>,
    },
    /// The command was stopped by Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}

impl InstallError {
    /// Whether Ctrl-C is the cause.
    pub fn is_interruption(&self) -> bool {
        match self {
            Self::Undone(cause) | Self::LeftBehind { cause, .. } => cause.is_interruption(),
            Self::Interrupted => true,
            _ => false,
        }
    }

    pub(super) fn api(what: impl Into<String>, error: &kube::Error) -> Self {
        Self::Api {
            what: what.into(),
            message: of_api_server(error),
        }
    }
}

fn in_namespace(namespace: &Option<String>) -> String {
    namespace
        .as_ref()
        .map(|namespace| format!(" in namespace {namespace}"))
        .unwrap_or_default()
}
