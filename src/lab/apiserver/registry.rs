//! The resources that this server knows. A static table: discovery, routing, selectors and columns are all read from it.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A column of `kubectl get` between Name and Age: title, OpenAPI type, dotted path into the object.
pub(crate) type Column = (&'static str, &'static str, &'static str);

/// How a resource behaves where Kubernetes's own types and custom resources differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Compiled into kube-apiserver: takes strategic merge patches, `kind` may be missing in a body.
    Native,
    /// From a CustomResourceDefinition: every change outside metadata (and status) bumps the generation.
    Custom,
}

/// One resource in its only served version.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) namespaced: bool,
    pub(crate) origin: Origin,
    /// Whether `/status` exists, so that the main resource cannot change `.status`.
    pub(crate) status: bool,
    /// Whether an update without a resourceVersion is taken.
    pub(crate) unconditional: bool,
    /// Whether an update creates the object if it is missing.
    pub(crate) update_creates: bool,
    /// Whether a deletion answers the object, instead of a `Status`.
    pub(crate) deletion_returns: bool,
    /// Whether `metadata.generation` is kept.
    pub(crate) generation: bool,
    /// Further subresources, only ever POSTed or read: (name, kind, verbs).
    pub(crate) subresources: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// Fields beyond `metadata.name` and `metadata.namespace` that a fieldSelector may name.
    pub(crate) fields: &'static [&'static str],
    pub(crate) columns: &'static [Column],
}

/// Where a resource stands in [`RESOURCES`].
pub(crate) type ResourceId = usize;

impl Resource {
    const fn native(
        group: &'static str,
        names: [&'static str; 3],
        short_names: &'static [&'static str],
    ) -> Self {
        let [plural, singular, kind] = names;
        Self {
            group,
            version: "v1",
            plural,
            singular,
            kind,
            short_names,
            namespaced: true,
            origin: Origin::Native,
            status: false,
            unconditional: true,
            update_creates: false,
            deletion_returns: false,
            generation: false,
            subresources: &[],
            fields: &[],
            columns: &[],
        }
    }

    const fn custom(
        group: &'static str,
        names: [&'static str; 3],
        short_names: &'static [&'static str],
    ) -> Self {
        let mut resource = Self::native(group, names, short_names);
        resource.origin = Origin::Custom;
        resource.generation = true;
        resource.unconditional = false;
        resource
    }

    const fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    const fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    const fn status(mut self) -> Self {
        self.status = true;
        self
    }

    const fn versioned(mut self) -> Self {
        self.unconditional = false;
        self
    }

    const fn update_creates(mut self) -> Self {
        self.update_creates = true;
        self
    }

    const fn deletion_returns(mut self) -> Self {
        self.deletion_returns = true;
        self
    }

    const fn generation(mut self) -> Self {
        self.generation = true;
        self
    }

    const fn fields(mut self, fields: &'static [&'static str]) -> Self {
        self.fields = fields;
        self
    }

    const fn columns(mut self, columns: &'static [Column]) -> Self {
        self.columns = columns;
        self
    }

    const fn subresources(
        mut self,
        subs: &'static [(&'static str, &'static str, &'static [&'static str])],
    ) -> Self {
        self.subresources = subs;
        self
    }

    /// `v1` or `kubevirt.io/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `PodList`.
    pub(crate) fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// Whether `kubectl get all` shows it.
    pub(crate) fn in_all(&self) -> bool {
        let native = matches!(self.plural, "pods" | "services");
        native || (self.origin == Origin::Custom && self.namespaced)
    }

    pub(crate) fn is_pods(&self) -> bool {
        self.group.is_empty() && self.plural == "pods"
    }

    pub(crate) fn is_namespaces(&self) -> bool {
        self.group.is_empty() && self.plural == "namespaces"
    }
}

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
const NATIVE: &[Resource] = &[
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
const KUBEVIRTS: &[Resource] = &[
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

/// Every resource, Kubernetes's own first.
pub(crate) static RESOURCES: LazyLock<Vec<&'static Resource>> =
    LazyLock::new(|| NATIVE.iter().chain(KUBEVIRTS).collect());

static BY_NAME: LazyLock<HashMap<(&'static str, &'static str, &'static str), ResourceId>> =
    LazyLock::new(|| {
        RESOURCES
            .iter()
            .enumerate()
            .map(|(id, resource)| ((resource.group, resource.version, resource.plural), id))
            .collect()
    });

/// The group of the access reviews, which are answered and not stored.
const REVIEWS: (&str, &str) = ("authorization.k8s.io", "v1");

/// The resource that a path names.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<ResourceId> {
    BY_NAME.get(&(group, version, plural)).copied()
}

/// Whether a group and version are compiled into kube-apiserver.
pub(crate) fn is_native(group: &str, version: &str) -> bool {
    let mut native = NATIVE
        .iter()
        .map(|resource| (resource.group, resource.version))
        .chain([REVIEWS]);
    native.any(|known| known == (group, version))
}

/// Where `namespaces` stands.
pub(crate) fn namespaces() -> ResourceId {
    find("", "v1", "namespaces").expect("the table holds namespaces")
}

/// The groups with their versions, in the order of the table; `""` is the core group.
pub(crate) fn groups() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = vec![];
    for (group, version) in RESOURCES
        .iter()
        .map(|resource| (resource.group, resource.version))
        .chain([REVIEWS])
    {
        match groups.iter_mut().find(|known| known.0 == group) {
            Some((_, versions)) if versions.contains(&version) => {}
            Some((_, versions)) => versions.push(version),
            None => groups.push((group, vec![version])),
        }
    }
    groups
}
