//! The resources that the components read and write.

use std::sync::LazyLock;

use kube::core::{ApiResource, GroupVersionKind};

macro_rules! resources {
    ($($name:ident: $group:literal $version:literal $kind:literal $plural:literal;)*) => {
        $(pub(crate) static $name: LazyLock<ApiResource> =
            LazyLock::new(|| resource($group, $version, $kind, $plural));)*
    };
}

resources! {
    PODS: "" "v1" "Pod" "pods";
    NODES: "" "v1" "Node" "nodes";
    EVENTS: "" "v1" "Event" "events";
    NEW_EVENTS: "events.k8s.io" "v1" "Event" "events";
    LEASES: "coordination.k8s.io" "v1" "Lease" "leases";
    REVISIONS: "apps" "v1" "ControllerRevision" "controllerrevisions";
    VMIS: "kubevirt.io" "v1" "VirtualMachineInstance" "virtualmachineinstances";
    VMS: "kubevirt.io" "v1" "VirtualMachine" "virtualmachines";
    KUBEVIRTS: "kubevirt.io" "v1" "KubeVirt" "kubevirts";
    INSTANCETYPES: "instancetype.kubevirt.io" "v1beta1" "VirtualMachineInstancetype" "virtualmachineinstancetypes";
    CLUSTER_INSTANCETYPES: "instancetype.kubevirt.io" "v1beta1" "VirtualMachineClusterInstancetype" "virtualmachineclusterinstancetypes";
    PREFERENCES: "instancetype.kubevirt.io" "v1beta1" "VirtualMachinePreference" "virtualmachinepreferences";
    CLUSTER_PREFERENCES: "instancetype.kubevirt.io" "v1beta1" "VirtualMachineClusterPreference" "virtualmachineclusterpreferences";
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}
