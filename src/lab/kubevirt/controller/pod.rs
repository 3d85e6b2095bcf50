//! The virt-launcher pod of a VMI.

use kube::core::DynamicObject;
use serde_json::{Map, Value, json};

use super::super::names::{
    APP, CREATED_BY, DOMAIN, SCHEDULABLE, UNPAUSED, VIRT_LAUNCHER, VMI_NAME,
};
use super::super::object::{ObjectExt, items};

const LAUNCHER_IMAGE: &str = "registry.lab/kubevirt/virt-launcher:lab";
/// Longer than the guest's own period, so that virt-launcher can end in order.
const EXTRA_GRACE_SECONDS: i64 = 15;
/// Memory of virt-launcher, libvirt and qemu beside the guest's.
const MEMORY_OVERHEAD: &str = "241Mi";

/// Leaves of a pod what this controller looks at.
pub(super) fn trim(pod: &mut DynamicObject) {
    let (spec, status) = (&pod.data["spec"], &pod.data["status"]);
    let data = json!({
        "spec": {
            "nodeName": spec["nodeName"],
            "containers": [{"image": spec["containers"][0]["image"]}],
        },
        "status": {
            "phase": status["phase"], "qosClass": status["qosClass"],
            "conditions": status["conditions"], "containerStatuses": status["containerStatuses"],
        },
    });
    pod.data = data;
    pod.metadata.managed_fields = None;
    pod.metadata.annotations = None;
}

/// The pod to create.
pub(super) fn template(vmi: &DynamicObject) -> Value {
    let name = vmi.metadata.name.as_deref().unwrap_or_default();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": format!("virt-launcher-{name}-"),
            "namespace": vmi.metadata.namespace,
            "labels": labels(vmi, name),
            "annotations": {
                DOMAIN: name,
                "kubectl.kubernetes.io/default-container": "compute",
                "descheduler.alpha.kubernetes.io/request-evict-only": "",
                "kubevirt.io/migrationTransportUnix": "true",
            },
            "ownerReferences": [vmi.controller_reference()],
        },
        "spec": spec(vmi, name),
    })
}

fn labels(vmi: &DynamicObject, name: &str) -> Value {
    let mut labels = vmi.metadata.labels.clone().unwrap_or_default();
    let own = [
        (APP, VIRT_LAUNCHER),
        (CREATED_BY, vmi.uid()),
        (VMI_NAME, name),
    ];
    for (label, value) in own {
        labels.insert(label.to_owned(), value.to_owned());
    }
    json!(labels)
}

fn spec(vmi: &DynamicObject, name: &str) -> Value {
    let spec = &vmi.data["spec"];
    let grace = spec["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "hostname": name,
        "terminationGracePeriodSeconds": grace + EXTRA_GRACE_SECONDS,
        "nodeSelector": node_selector(spec),
        "tolerations": spec["tolerations"].as_array().cloned().unwrap_or_default(),
        "readinessGates": [{"conditionType": UNPAUSED}],
        "securityContext": {"runAsUser": 107, "runAsGroup": 107, "fsGroup": 107, "runAsNonRoot": true},
        "containers": containers(vmi, name),
        "volumes": volumes(spec),
    })
}

fn node_selector(spec: &Value) -> Value {
    let mut selector: Map<String, Value> = spec["nodeSelector"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    selector.insert(SCHEDULABLE.to_owned(), "true".into());
    selector.insert("kubernetes.io/arch".to_owned(), "amd64".into());
    selector.into()
}

fn containers(vmi: &DynamicObject, name: &str) -> Value {
    let mut all = vec![compute(vmi, name)];
    for volume in container_disks(&vmi.data["spec"]) {
        all.push(json!({
            "name": format!("volume{}", volume["name"].as_str().unwrap_or_default()),
            "image": volume["containerDisk"]["image"],
            "command": ["/usr/bin/container-disk"],
            "args": ["--copy-path", "/var/run/kubevirt-ephemeral-disks/container-disk-data"],
            "resources": {"requests": {"cpu": "1m", "memory": "40M", "ephemeral-storage": "50M"}},
            "securityContext": restricted(),
        }));
    }
    all.into()
}

fn compute(vmi: &DynamicObject, name: &str) -> Value {
    json!({
        "name": "compute",
        "image": LAUNCHER_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": [
            "/usr/bin/virt-launcher-monitor", "--qemu-timeout", "300s", "--name", name, "--uid", vmi.uid(),
            "--namespace", vmi.metadata.namespace, "--kubevirt-share-dir", "/var/run/kubevirt",
            "--ephemeral-disk-dir", "/var/run/kubevirt-ephemeral-disks", "--run-as-nonroot",
        ],
        "env": [
            {"name": "XDG_CACHE_HOME", "value": "/var/run/kubevirt-private"},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "resources": {
            "requests": {
                "cpu": request(&vmi.data["spec"], "cpu", "100m"), "memory": MEMORY_OVERHEAD, "ephemeral-storage": "50M",
                "devices.kubevirt.io/kvm": "1", "devices.kubevirt.io/tun": "1",
            },
            "limits": {"devices.kubevirt.io/kvm": "1", "devices.kubevirt.io/tun": "1"},
        },
        "securityContext": restricted(),
        "volumeMounts": [
            {"name": "private", "mountPath": "/var/run/kubevirt-private"},
            {"name": "public", "mountPath": "/var/run/kubevirt"},
            {"name": "ephemeral-disks", "mountPath": "/var/run/kubevirt-ephemeral-disks"},
            {"name": "libvirt-runtime", "mountPath": "/var/run/libvirt"},
        ],
    })
}

fn request<'a>(spec: &'a Value, name: &str, otherwise: &'a str) -> &'a str {
    spec["domain"]["resources"]["requests"][name]
        .as_str()
        .unwrap_or(otherwise)
}

fn restricted() -> Value {
    json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 107,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    })
}

fn container_disks(spec: &Value) -> impl Iterator<Item = &Value> {
    items(spec.get("volumes"))
        .iter()
        .filter(|volume| volume["containerDisk"].is_object())
}

fn volumes(spec: &Value) -> Value {
    let mut all = vec![];
    for name in [
        "private",
        "public",
        "ephemeral-disks",
        "libvirt-runtime",
        "container-disks",
    ] {
        all.push(json!({"name": name, "emptyDir": {}}));
    }
    for volume in items(spec.get("volumes")) {
        if let Some(claim) = volume["persistentVolumeClaim"].as_object() {
            all.push(json!({"name": volume["name"], "persistentVolumeClaim": claim}));
        }
    }
    all.into()
}
