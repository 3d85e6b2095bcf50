//! How an installation of proxies in KubeVirt is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The schema's name and version.
pub const INSTALLATION_SCHEMA: &str = "kubetoll.installation/1";

/// What is attached to a KubeVirt installation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Installation {
    /// [`INSTALLATION_SCHEMA`].
    pub schema: String,
    /// KubeVirt's namespace.
    pub namespace: String,
    /// The name of the KubeVirt object.
    pub kubevirt: String,
    /// When the certificates end; `None` if there are none.
    pub certificates_until: Option<Timestamp>,
    /// Every component, attached or not.
    pub components: Vec<ComponentInstallation>,
}

/// One component of KubeVirt and its proxies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ComponentInstallation {
    /// The component, such as `virt-api`.
    pub component: String,
    /// Whether anything of Kubetoll's is there for it.
    pub attached: bool,
    /// `sidecar` or `kubeconfig`; empty if not attached.
    pub mode: String,
    /// The proxy's image; empty if not attached.
    pub image: String,
    /// Since when it is attached.
    pub since: Option<Timestamp>,
    /// Pods with a proxy that are ready.
    pub ready: u64,
    /// Pods that there should be.
    pub wanted: u64,
    /// Calls since the pods' proxies began; `None` if a pod's can't be read.
    pub calls: Option<u64>,
    /// Calls per second in the window that was looked at.
    pub calls_per_second: Option<f64>,
    /// Every pod with a proxy.
    pub pods: Vec<PodInstallation>,
    /// What is not as it should be; empty if all is well.
    pub drift: Vec<String>,
}

/// One pod's proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodInstallation {
    /// Name of the pod.
    pub pod: String,
    /// Calls since its proxy began; `None` if it can't be read.
    pub calls: Option<u64>,
    /// Calls per second in the window; `None` if it can't be read, or was restarted in it.
    pub calls_per_second: Option<f64>,
}
