//! The kinds of objects that a run has to do with.

/// A kind of object and the plural under which it is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API version, such as `v1`.
    pub version: &'static str,
    /// Kind, such as `VirtualMachine`.
    pub kind: &'static str,
    /// Resource in paths, such as `virtualmachines`.
    pub plural: &'static str,
}

/// VirtualMachineInstance: a running virtual machine.
pub const VMI: Kind = Kind {
    group: "kubevirt.io",
    version: "v1",
    kind: "VirtualMachineInstance",
    plural: "virtualmachineinstances",
};

/// VirtualMachine: keeps a VirtualMachineInstance running.
pub const VM: Kind = Kind {
    group: "kubevirt.io",
    version: "v1",
    kind: "VirtualMachine",
    plural: "virtualmachines",
};

/// VirtualMachineInstancetype: CPU and memory that VirtualMachines refer to.
pub const VM_INSTANCETYPE: Kind = Kind {
    group: "instancetype.kubevirt.io",
    version: "v1beta1",
    kind: "VirtualMachineInstancetype",
    plural: "virtualmachineinstancetypes",
};

/// VirtualMachinePreference: devices that VirtualMachines refer to.
pub const VM_PREFERENCE: Kind = Kind {
    group: "instancetype.kubevirt.io",
    version: "v1beta1",
    kind: "VirtualMachinePreference",
    plural: "virtualmachinepreferences",
};

/// Pod; its creation is what a run costs first of all.
pub(crate) const POD: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Pod",
    plural: "pods",
};

/// Namespace, of which a run makes one unless it is given one.
pub(crate) const NAMESPACE: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Namespace",
    plural: "namespaces",
};

/// What a controller says about an object.
pub(crate) const EVENT: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Event",
    plural: "events",
};

/// Where pods run.
pub(crate) const NODE: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Node",
    plural: "nodes",
};

/// KubeVirt's own object, which says its version.
pub(crate) const KUBEVIRT: Kind = Kind {
    group: "kubevirt.io",
    version: "v1",
    kind: "KubeVirt",
    plural: "kubevirts",
};

impl Kind {
    /// `group/version`; for the core group the version alone.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            return self.version.to_owned();
        }
        format!("{}/{}", self.group, self.version)
    }

    /// Whether runs create many of it, rather than one that all of their objects need.
    pub(crate) fn is_workload(&self) -> bool {
        [VM, VMI].contains(self)
    }
}
