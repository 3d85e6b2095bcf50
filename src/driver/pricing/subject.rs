//! The kinds of objects whose calls are measured. No controller acts on what is made of them.

use serde_json::{Map, Value, json};

use super::launcher_pod::launcher_pod;
use crate::workload::{Scenario, Spec, VM, VM_INSTANCETYPE, VM_PREFERENCE, VMI};
use prices::Size;

/// Annotations that a large object has more of: each some 100 bytes, and as many of the API server's
/// own in `managedFields`.
const MORE_ANNOTATIONS: usize = 100;

/// The label of all objects; its value is what is written.
pub(super) const LABEL: &str = "kubetoll.dev/price";

/// A kind of objects.
pub(super) struct Subject {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    /// Whether its objects are in namespaces.
    pub(super) namespaced: bool,
    /// What an object has beside name and labels.
    pub(super) content: Value,
    /// The field of `status` that is written, if the status is a resource of its own.
    pub(super) status: Option<&'static str>,
    /// Whether webhooks and watches are measured with it.
    pub(super) with_extras: bool,
}

impl Subject {
    /// Where objects of the kind are created.
    pub(super) fn collection(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() {
            "/api".to_owned()
        } else {
            format!("/apis/{}", self.group)
        };
        let place = if self.namespaced {
            format!("namespaces/{namespace}/")
        } else {
            String::new()
        };
        format!("{root}/{}/{place}{}", self.version, self.plural)
    }

    /// Whether the kind is defined by a custom resource definition.
    pub(super) fn is_custom(&self) -> bool {
        self.group.ends_with("kubevirt.io")
    }

    /// `v1`, or `GROUP/VERSION`.
    fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// An object to create.
    pub(super) fn object(&self, name: &str, namespace: &str, size: Size) -> Value {
        let mut object = self.content.clone();
        object["apiVersion"] = self.api_version().into();
        object["kind"] = self.kind.into();
        object["metadata"] = json!({"name": name, "labels": {LABEL: "created"}});
        if size == Size::Large {
            object["metadata"]["annotations"] = more().into();
        }
        for of_event in ["involvedObject", "regarding"] {
            if let Some(pod) = object.get_mut(of_event) {
                pod["namespace"] = namespace.into();
            }
        }
        object
    }
}

fn more() -> Map<String, Value> {
    let one = |number: usize| {
        let name = format!("kubetoll.dev/annotation-{number:03}");
        (name, "more of an object, as annotations have it".into())
    };
    (0..MORE_ANNOTATIONS).map(one).collect()
}

fn subject(
    (group, version): (&'static str, &'static str),
    (kind, plural): (&'static str, &'static str),
    content: Value,
) -> Subject {
    Subject {
        group,
        version,
        kind,
        plural,
        namespaced: true,
        content,
        status: None,
        with_extras: false,
    }
}

/// What density runs of KubeVirt call, and what most controllers do.
pub(super) fn standard() -> Vec<Subject> {
    let mut subjects = builtin();
    subjects.extend(kubevirt());
    subjects
}

/// Plural names of all kinds, such as `pods`.
pub fn names() -> Vec<&'static str> {
    let subjects = standard().into_iter();
    subjects.map(|subject| subject.plural).collect()
}

/// The kind of which a get is a toll.
pub(super) fn lease() -> Subject {
    subject(
        ("coordination.k8s.io", "v1"),
        ("Lease", "leases"),
        json!({"spec": {"holderIdentity": "kubetoll", "leaseDurationSeconds": 15,
            "renewTime": "2024-01-01T00:00:00.000000Z", "leaseTransitions": 0}}),
    )
}

fn builtin() -> Vec<Subject> {
    let core = ("", "v1");
    vec![
        lease(),
        subject(
            core,
            ("ConfigMap", "configmaps"),
            json!({"data": {"key": "value"}}),
        ),
        subject(
            core,
            ("Event", "events"),
            json!({"involvedObject": {"kind": "Pod", "name": "none", "apiVersion": "v1"},
                "reason": "Measured", "message": "an event of a price list", "type": "Normal",
                "firstTimestamp": "2024-01-01T00:00:00Z", "lastTimestamp": "2024-01-01T00:00:00Z",
                "count": 1, "source": {"component": "kubetoll"}}),
        ),
        subject(
            ("events.k8s.io", "v1"),
            ("Event", "events"),
            json!({"regarding": {"kind": "Pod", "name": "none", "apiVersion": "v1"},
                "reason": "Measured", "note": "an event of a price list", "type": "Normal",
                "eventTime": "2024-01-01T00:00:00.000000Z", "action": "Measuring",
                "reportingController": "kubetoll.dev/kubetoll", "reportingInstance": "kubetoll"}),
        ),
        subject(
            ("apps", "v1"),
            ("ControllerRevision", "controllerrevisions"),
            json!({"revision": 1, "data": {"spec": {"cpu": {"guest": 1}}}}),
        ),
        Subject {
            status: Some("message"),
            with_extras: true,
            ..subject(core, ("Pod", "pods"), launcher_pod())
        },
        Subject {
            namespaced: false,
            status: Some("phase"),
            ..subject(
                core,
                ("Node", "nodes"),
                json!({"spec": {"unschedulable": true}}),
            )
        },
    ]
}

/// Objects of a density run; a VM that is not to run, and a VMI that has run.
fn kubevirt() -> Vec<Subject> {
    let content = |scenario: Scenario| {
        let spec = Spec {
            scenario,
            kwok: false,
        };
        spec.object("price")["spec"].clone()
    };
    let mut vm = content(Scenario::Vm);
    vm["runStrategy"] = "Halted".into();
    let kind = |kind: crate::workload::Kind, content: Value| {
        subject(
            (kind.group, kind.version),
            (kind.kind, kind.plural),
            content,
        )
    };
    let vmi = json!({"spec": content(Scenario::Vmi), "status": vmi_status()});
    vec![
        Subject {
            with_extras: true,
            ..kind(VMI, vmi)
        },
        Subject {
            status: Some("printableStatus"),
            ..kind(VM, json!({"spec": vm}))
        },
        kind(
            VM_INSTANCETYPE,
            json!({"spec": {"cpu": {"guest": 1}, "memory": {"guest": "128Mi"}}}),
        ),
        kind(
            VM_PREFERENCE,
            json!({"spec": {"devices": {"preferredDiskBus": "virtio"}}}),
        ),
    ]
}

fn vmi_status() -> Value {
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "lastProbeTime": null,
            "lastTransitionTime": "2024-01-01T00:00:00Z"})
    };
    json!({
        "phase": "Succeeded",
        "activePods": {"4d1e9d7c-0000-4000-8000-000000000000": "node-1"},
        "conditions": [condition("Ready", "False"), condition("LiveMigratable", "True")],
        "interfaces": [{"name": "default", "ipAddress": "10.244.0.2", "infoSource": "domain",
            "queueCount": 1, "podInterfaceName": "eth0"}],
        "phaseTransitionTimestamps": [
            {"phase": "Pending", "phaseTransitionTimestamp": "2024-01-01T00:00:00Z"},
            {"phase": "Scheduling", "phaseTransitionTimestamp": "2024-01-01T00:00:01Z"},
            {"phase": "Running", "phaseTransitionTimestamp": "2024-01-01T00:00:05Z"},
        ],
        "qosClass": "Guaranteed",
        "volumeStatus": [{"name": "disk0", "target": "vda"}, {"name": "cloudinitdisk", "target": "vdb"}],
    })
}
