//! What must be there before the components start.

use serde_json::{Value, json};

use super::names::{NAMESPACE, SCHEDULABLE};
use super::options::Options;

/// The namespace and the KubeVirt object of the components, and the nodes; each with `apiVersion` and `kind`, to be
/// created in this order. The namespaces that every cluster has (`default`, `kube-system`, `kube-node-lease`) and
/// KubeVirt's CustomResourceDefinitions are taken for granted.
#[must_use]
pub fn prerequisites(options: &Options) -> Vec<Value> {
    let mut objects = vec![namespace(), kubevirt()];
    objects.extend(options.node_names().iter().map(|name| node(name)));
    objects
}

fn namespace() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"kubevirt.io": ""}},
    })
}

fn kubevirt() -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": "KubeVirt",
        "metadata": {"name": "kubevirt", "namespace": NAMESPACE},
        "spec": {"imagePullPolicy": "IfNotPresent", "configuration": {}},
    })
}

fn node(name: &str) -> Value {
    let resources = json!({
        "cpu": "32", "memory": "256Gi", "ephemeral-storage": "100Gi", "pods": "110",
        "devices.kubevirt.io/kvm": "1k", "devices.kubevirt.io/tun": "1k", "devices.kubevirt.io/vhost-net": "1k",
    });
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name,
            SCHEDULABLE: "true",
            // The selector of KubeVirt's KWOK lane: `run --kwok` must find nodes here too.
            "type": "kwok",
        }},
        "status": {
            "allocatable": resources, "capacity": resources,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is ready"}],
        },
    })
}
