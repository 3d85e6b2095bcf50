//! The resources that may become a metric label before an API server has confirmed them.

/// Whether `resource` of `api_group` is built into Kubernetes or belongs to KubeVirt or CDI.
pub fn is_known_resource(api_group: &str, resource: &str) -> bool {
    known_resource(api_group, resource).is_some()
}

/// Group and resource as they stand in the table, if they do.
pub(super) fn known_resource(
    api_group: &str,
    resource: &str,
) -> Option<(&'static str, &'static str)> {
    let at = KNOWN
        .binary_search_by(|(group, _)| group.cmp(&api_group))
        .ok()?;
    let (group, resources) = KNOWN[at];
    let known = resources.iter().find(|known| **known == resource)?;
    Some((group, known))
}

/// All resources of the table, whatever their group.
pub fn known_resources() -> impl Iterator<Item = &'static str> {
    let resources = KNOWN.iter().flat_map(|(_, resources)| *resources);
    resources.copied()
}

/// A resource as it stands in the table, of whatever group.
pub(super) fn known_resource_of_any_group(resource: &str) -> Option<&'static str> {
    known_resources().find(|known| *known == resource)
}

/// Sorted by group.
const KNOWN: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "bindings",
            "componentstatuses",
            "configmaps",
            "endpoints",
            "events",
            "limitranges",
            "namespaces",
            "nodes",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "podtemplates",
            "replicationcontrollers",
            "resourcequotas",
            "secrets",
            "serviceaccounts",
            "services",
        ],
    ),
    (
        "admissionregistration.k8s.io",
        &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ],
    ),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("apiregistration.k8s.io", &["apiservices"]),
    (
        "apps",
        &[
            "controllerrevisions",
            "daemonsets",
            "deployments",
            "replicasets",
            "statefulsets",
        ],
    ),
    (
        "authentication.k8s.io",
        &["selfsubjectreviews", "tokenreviews"],
    ),
    (
        "authorization.k8s.io",
        &[
            "localsubjectaccessreviews",
            "selfsubjectaccessreviews",
            "selfsubjectrulesreviews",
            "subjectaccessreviews",
        ],
    ),
    ("autoscaling", &["horizontalpodautoscalers"]),
    (
        "backup.kubevirt.io",
        &["virtualmachinebackups", "virtualmachinebackuptrackers"],
    ),
    ("batch", &["cronjobs", "jobs"]),
    (
        "cdi.kubevirt.io",
        &[
            "cdiconfigs",
            "cdis",
            "dataimportcrons",
            "datasources",
            "datavolumes",
            "objecttransfers",
            "openstackvolumepopulators",
            "ovirtvolumepopulators",
            "storageprofiles",
            "volumeclonesources",
            "volumeimportsources",
            "volumeuploadsources",
        ],
    ),
    (
        "certificates.k8s.io",
        &["certificatesigningrequests", "clustertrustbundles"],
    ),
    ("clone.kubevirt.io", &["virtualmachineclones"]),
    ("coordination.k8s.io", &["leasecandidates", "leases"]),
    ("discovery.k8s.io", &["endpointslices"]),
    ("events.k8s.io", &["events"]),
    ("export.kubevirt.io", &["virtualmachineexports"]),
    (
        "flowcontrol.apiserver.k8s.io",
        &["flowschemas", "prioritylevelconfigurations"],
    ),
    (
        "instancetype.kubevirt.io",
        &[
            "virtualmachineclusterinstancetypes",
            "virtualmachineclusterpreferences",
            "virtualmachineinstancetypes",
            "virtualmachinepreferences",
        ],
    ),
    (
        "kubevirt.io",
        &[
            "kubevirts",
            "virtualmachineinstancemigrations",
            "virtualmachineinstancepresets",
            "virtualmachineinstancereplicasets",
            "virtualmachineinstances",
            "virtualmachines",
        ],
    ),
    ("metrics.k8s.io", &["nodes", "pods"]),
    ("migrations.kubevirt.io", &["migrationpolicies"]),
    (
        "networking.k8s.io",
        &[
            "ingressclasses",
            "ingresses",
            "ipaddresses",
            "networkpolicies",
            "servicecidrs",
        ],
    ),
    ("node.k8s.io", &["runtimeclasses"]),
    ("plugin.kubevirt.io", &["plugins"]),
    ("policy", &["poddisruptionbudgets"]),
    ("pool.kubevirt.io", &["virtualmachinepools"]),
    (
        "rbac.authorization.k8s.io",
        &[
            "clusterrolebindings",
            "clusterroles",
            "rolebindings",
            "roles",
        ],
    ),
    (
        "resource.k8s.io",
        &[
            "deviceclasses",
            "resourceclaims",
            "resourceclaimtemplates",
            "resourceslices",
        ],
    ),
    ("scheduling.k8s.io", &["priorityclasses"]),
    (
        "snapshot.kubevirt.io",
        &[
            "virtualmachinerestores",
            "virtualmachinesnapshotcontents",
            "virtualmachinesnapshots",
        ],
    ),
    (
        "storage.k8s.io",
        &[
            "csidrivers",
            "csinodes",
            "csistoragecapacities",
            "storageclasses",
            "volumeattachments",
            "volumeattributesclasses",
        ],
    ),
    (
        "subresources.kubevirt.io",
        &[
            "expand-vm-spec",
            "guestfs",
            "healthz",
            "version",
            "virtualmachineinstances",
            "virtualmachines",
        ],
    ),
];
