//! A pod as large as those of virtual machines: what a write of a pod costs grows with its fields, of
//! which the API server keeps who set each.

use serde_json::{Value, json};

/// Directories that the containers share.
const DIRECTORIES: [(&str, &str); 8] = [
    ("private", "/var/run/kubevirt-private"),
    ("public", "/var/run/kubevirt"),
    ("sockets", "/var/run/kubevirt/sockets"),
    ("ephemeral-disks", "/var/run/kubevirt-ephemeral-disks"),
    ("container-disks", "/var/run/kubevirt/container-disks"),
    ("libvirt-runtime", "/var/run/libvirt"),
    ("hotplug-disks", "/var/run/kubevirt/hotplug-disks"),
    ("bin-volume", "/usr/bin/kubevirt"),
];

/// Flags of the program that runs the machine.
const FLAGS: [&str; 10] = [
    "--qemu-timeout=300s",
    "--name=price",
    "--uid=4d1e9d7c-0000-4000-8000-000000000000",
    "--namespace=default",
    "--kubevirt-share-dir=/var/run/kubevirt",
    "--ephemeral-disk-dir=/var/run/kubevirt-ephemeral-disks",
    "--container-disk-dir=/var/run/kubevirt/container-disks",
    "--grace-period-seconds=45",
    "--hook-sidecars=0",
    "--run-as-nonroot",
];

/// Content of a pod as virt-controller makes one, of a scheduler that doesn't exist.
pub(super) fn launcher_pod() -> Value {
    json!({"spec": {
        "schedulerName": "kubetoll-none",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "hostname": "price",
        "nodeSelector": {"kubernetes.io/arch": "amd64", "kubevirt.io/schedulable": "true",
            "machine-type.node.kubevirt.io/q35": "true"},
        "readinessGates": [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}],
        "restartPolicy": "Never",
        "securityContext": {"fsGroup": 107, "runAsGroup": 107, "runAsNonRoot": true, "runAsUser": 107,
            "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 60,
        "tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 300},
        ],
        "initContainers": [disk("container-disk-binary"), disk("volumecontainerdisk-init")],
        "containers": [compute(), disk("volumecontainerdisk")],
        "volumes": DIRECTORIES.map(|(name, _)| json!({"name": name, "emptyDir": {}})),
    }})
}

/// The container of the machine.
fn compute() -> Value {
    let env = |name: &str, value: &str| json!({"name": name, "value": value});
    let command = [&["/usr/bin/virt-launcher-monitor"][..], &FLAGS].concat();
    json!({
        "name": "compute", "image": "none", "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [
            env("XDG_CACHE_HOME", "/var/run/kubevirt-private"),
            env("XDG_CONFIG_HOME", "/var/run/kubevirt-private"),
            env("XDG_RUNTIME_DIR", "/var/run"),
            env("VIRT_LAUNCHER_LOG_VERBOSITY", "2"),
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "resources": {
            "requests": {"cpu": "100m", "memory": "300Mi", "ephemeral-storage": "50M",
                "devices.kubevirt.io/kvm": "1", "devices.kubevirt.io/tun": "1"},
            "limits": {"devices.kubevirt.io/kvm": "1", "devices.kubevirt.io/tun": "1"},
        },
        "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 107,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}},
        "volumeMounts": mounts(DIRECTORIES.len()),
    })
}

/// One of those that serve the machine's disks.
fn disk(name: &str) -> Value {
    let resources = json!({"cpu": "10m", "memory": "40M"});
    json!({
        "name": name, "image": "none", "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/container-disk"],
        "args": ["--copy-path", "/var/run/kubevirt-ephemeral-disks/container-disk-data/disk_0"],
        "resources": {"requests": resources, "limits": resources},
        "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 107,
            "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": mounts(2),
    })
}

fn mounts(count: usize) -> Vec<Value> {
    let mounts = DIRECTORIES.iter().take(count);
    mounts
        .map(|(name, path)| json!({"name": name, "mountPath": path}))
        .collect()
}
