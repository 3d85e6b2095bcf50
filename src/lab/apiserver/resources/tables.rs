//! The tables of resources.

use super::resource::{Column, Resource};

const KUBEVIRT: &str = "kubevirt.io";
const INSTANCETYPE: &str = "instancetype.kubevirt.io";

const READY: Column = ("Ready", "string", "status.conditions[Ready].status");
const PHASE: Column = ("Phase", "string", "status.phase");

const POD_FIELDS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];
const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];
const POD_SUBRESOURCES: &[(&str, &str, &[&str])] = &[
    ("binding", "Binding", &["create"]),
    ("eviction", "Eviction", &["create"]),
    ("log", "Pod", &["get"]),
];
const POD_COLUMNS: &[Column] = &[
    ("Status", "string", "status.phase"),
    ("IP", "string", "status.podIP"),
    ("Node", "string", "spec.nodeName"),
];
const VMI_COLUMNS: &[Column] = &[
    PHASE,
    ("IP", "string", "status.interfaces[0].ipAddress"),
    ("NodeName", "string", "status.nodeName"),
    READY,
];
const EVENT_COLUMNS: &[Column] = &[
    ("Type", "string", "type"),
    ("Reason", "string", "reason"),
    ("Object", "string", "involvedObject.name"),
    ("Message", "string", "message"),
];

/// Kubernetes's own resources.
pub(crate) const NATIVE: &[Resource] = &[
    Resource::native("", ["namespaces", "namespace", "Namespace"], &["ns"])
        .deletion_returns()
        .cluster()
        .status()
        .fields(&["status.phase"])
        .columns(&[("Status", "string", "status.phase")]),
    Resource::native("", ["pods", "pod", "Pod"], &["po"])
        .deletion_returns()
        .status()
        .generation()
        .fields(POD_FIELDS)
        .columns(POD_COLUMNS)
        .subresources(POD_SUBRESOURCES),
    Resource::native("", ["nodes", "node", "Node"], &["no"])
        .cluster()
        .status()
        .fields(&["spec.unschedulable"])
        .columns(&[
            READY,
            ("Version", "string", "status.nodeInfo.kubeletVersion"),
        ]),
    Resource::native("", ["events", "event", "Event"], &["ev"])
        .update_creates()
        .fields(EVENT_FIELDS)
        .columns(EVENT_COLUMNS),
    Resource::native("", ["configmaps", "configmap", "ConfigMap"], &["cm"]),
    Resource::native("", ["secrets", "secret", "Secret"], &[])
        .fields(&["type"])
        .columns(&[("Type", "string", "type")]),
    Resource::native("", ["services", "service", "Service"], &["svc"])
        .deletion_returns()
        .update_creates()
        .status()
        .fields(&["spec.clusterIP", "spec.type"])
        .columns(&[
            ("Type", "string", "spec.type"),
            ("Cluster-IP", "string", "spec.clusterIP"),
        ]),
    Resource::native(
        "",
        ["serviceaccounts", "serviceaccount", "ServiceAccount"],
        &["sa"],
    )
    .deletion_returns(),
    Resource::native("", ["limitranges", "limitrange", "LimitRange"], &["limits"]).update_creates(),
    Resource::native(
        "",
        ["resourcequotas", "resourcequota", "ResourceQuota"],
        &["quota"],
    )
    .deletion_returns()
    .status(),
    Resource::native(
        "",
        [
            "persistentvolumeclaims",
            "persistentvolumeclaim",
            "PersistentVolumeClaim",
        ],
        &["pvc"],
    )
    .deletion_returns()
    .status()
    .columns(&[
        ("Status", "string", "status.phase"),
        ("Volume", "string", "spec.volumeName"),
    ]),
    Resource::native("coordination.k8s.io", ["leases", "lease", "Lease"], &[])
        .versioned()
        .update_creates()
        .columns(&[("Holder", "string", "spec.holderIdentity")]),
    Resource::native("events.k8s.io", ["events", "event", "Event"], &["ev"])
        .update_creates()
        .fields(&[
            "reason",
            "reportingController",
            "type",
            "regarding.kind",
            "regarding.name",
            "regarding.namespace",
        ]),
    Resource::native(
        "apps",
        [
            "controllerrevisions",
            "controllerrevision",
            "ControllerRevision",
        ],
        &[],
    ),
    Resource::native(
        "apiextensions.k8s.io",
        [
            "customresourcedefinitions",
            "customresourcedefinition",
            "CustomResourceDefinition",
        ],
        &["crd", "crds"],
    )
    .versioned()
    .cluster()
    .status()
    .generation(),
];

/// KubeVirt's. A virtual machine instance has no status subresource, so its controllers update it as a whole.
pub(crate) const KUBEVIRTS: &[Resource] = &[
    Resource::custom(
        KUBEVIRT,
        [
            "virtualmachineinstances",
            "virtualmachineinstance",
            "VirtualMachineInstance",
        ],
        &["vmi", "vmis"],
    )
    .columns(VMI_COLUMNS),
    Resource::custom(
        KUBEVIRT,
        ["virtualmachines", "virtualmachine", "VirtualMachine"],
        &["vm", "vms"],
    )
    .status()
    .columns(&[("Status", "string", "status.printableStatus"), READY]),
    Resource::custom(
        KUBEVIRT,
        ["kubevirts", "kubevirt", "KubeVirt"],
        &["kv", "kvs"],
    )
    .status()
    .columns(&[PHASE]),
    Resource::custom(
        KUBEVIRT,
        [
            "virtualmachineinstancemigrations",
            "virtualmachineinstancemigration",
            "VirtualMachineInstanceMigration",
        ],
        &["vmim", "vmims"],
    )
    .status()
    .columns(&[PHASE, ("VMI", "string", "spec.vmiName")]),
    Resource::custom(
        KUBEVIRT,
        [
            "virtualmachineinstancereplicasets",
            "virtualmachineinstancereplicaset",
            "VirtualMachineInstanceReplicaSet",
        ],
        &["vmirs", "vmirss"],
    )
    .status(),
    Resource::custom(
        INSTANCETYPE,
        [
            "virtualmachineinstancetypes",
            "virtualmachineinstancetype",
            "VirtualMachineInstancetype",
        ],
        &["vminstancetype", "vminstancetypes", "vmf", "vmfs"],
    )
    .version("v1beta1"),
    Resource::custom(
        INSTANCETYPE,
        [
            "virtualmachineclusterinstancetypes",
            "virtualmachineclusterinstancetype",
            "VirtualMachineClusterInstancetype",
        ],
        &[
            "vmclusterinstancetype",
            "vmclusterinstancetypes",
            "vmcf",
            "vmcfs",
        ],
    )
    .version("v1beta1")
    .cluster(),
    Resource::custom(
        INSTANCETYPE,
        [
            "virtualmachinepreferences",
            "virtualmachinepreference",
            "VirtualMachinePreference",
        ],
        &["vmpref", "vmprefs", "vmp", "vmps"],
    )
    .version("v1beta1"),
    Resource::custom(
        INSTANCETYPE,
        [
            "virtualmachineclusterpreferences",
            "virtualmachineclusterpreference",
            "VirtualMachineClusterPreference",
        ],
        &["vmcp", "vmcps"],
    )
    .version("v1beta1")
    .cluster(),
    Resource::custom(
        "migrations.kubevirt.io",
        ["migrationpolicies", "migrationpolicy", "MigrationPolicy"],
        &[],
    )
    .version("v1alpha1")
    .cluster()
    .status(),
];
