//! KubeVirt's components, as its operator names and runs them.

/// A component that a proxy can stand in front of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// `virt-api`, a Deployment.
    VirtApi,
    /// `virt-handler`, a DaemonSet.
    VirtHandler,
    /// `virt-controller`, a Deployment.
    VirtController,
    /// `virt-operator`, a Deployment, which applies the patches of the others.
    VirtOperator,
}

/// What runs a component's pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkloadKind {
    /// `deployments.apps`.
    Deployment,
    /// `daemonsets.apps`.
    DaemonSet,
}

impl Component {
    /// All, in the order in which they are attached: what hurts least when it fails comes first.
    pub const ALL: [Self; 4] = [
        Self::VirtApi,
        Self::VirtHandler,
        Self::VirtController,
        Self::VirtOperator,
    ];

    /// The name of the component, of its workload and of its container.
    pub fn name(self) -> &'static str {
        match self {
            Self::VirtApi => "virt-api",
            Self::VirtHandler => "virt-handler",
            Self::VirtController => "virt-controller",
            Self::VirtOperator => "virt-operator",
        }
    }

    /// What runs its pods.
    pub fn workload(self) -> WorkloadKind {
        match self {
            Self::VirtHandler => WorkloadKind::DaemonSet,
            _ => WorkloadKind::Deployment,
        }
    }

    /// Its section in `customizeComponents.flags`; virt-operator has none.
    pub fn flags(self) -> Option<&'static str> {
        match self {
            Self::VirtApi => Some("api"),
            Self::VirtHandler => Some("handler"),
            Self::VirtController => Some("controller"),
            Self::VirtOperator => None,
        }
    }

    /// Whether the KubeVirt object customizes it; virt-operator is patched by itself.
    pub fn is_customizable(self) -> bool {
        self != Self::VirtOperator
    }
}

impl WorkloadKind {
    /// The kind, as the API has it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::DaemonSet => "DaemonSet",
        }
    }

    /// The resource, as the API has it.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::DaemonSet => "daemonsets",
        }
    }
}
