//! How the simulated components behave.

use std::time::Duration;

use super::virt_api::Webhooks;

/// How the components behave.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many nodes there are; their names are [`Options::node_names`].
    pub nodes: usize,
    /// How virt-api learns what to look at.
    pub webhooks: Webhooks,
    /// How often a virt-handler patches its node.
    pub heartbeat: Duration,
    /// How often kubelet renews each node's lease.
    pub node_lease_renewal: Duration,
    /// How often virt-controller and kube-scheduler renew their leader election lease.
    pub leader_renewal: Duration,
    /// How long that lease is valid.
    pub leader_lease: Duration,
}

impl Default for Options {
    /// Ten nodes and the periods of the real components.
    fn default() -> Self {
        Self {
            nodes: 10,
            webhooks: Webhooks::default(),
            heartbeat: Duration::from_secs(60),
            node_lease_renewal: Duration::from_secs(10),
            leader_renewal: Duration::from_secs(2),
            leader_lease: Duration::from_secs(15),
        }
    }
}

impl Options {
    /// `lab-node-1`, `lab-node-2`, ...
    #[must_use]
    pub fn node_names(&self) -> Vec<String> {
        (1..=self.nodes)
            .map(|number| format!("lab-node-{number}"))
            .collect()
    }
}
