//! Calls per 100 objects of the recorded runs: KubeVirt's virt-controller and virt-api of 2026-08-22, kube-scheduler and
//! kube-apiserver 1.34.4, kwok 0.8.0 (`counts.json` of vmi100-a, vm100-a and it100-a, create phase and delete phase).
//! Left out: conflicts (409, 422), leases and watches, which go by time, and what only kwok's patches cause.

/// Component, verb, resource, calls.
pub(super) type Recorded = (&'static str, &'static str, &'static str, usize);

const VMI: &str = "virtualmachineinstances";
const VM: &str = "virtualmachines";
const VM_STATUS: &str = "virtualmachines/status";

pub(super) const VMI_CREATE: &[Recorded] = &[
    ("controller", "update", VMI, 316),
    ("controller", "patch", "pods/status", 101),
    ("controller", "create", "pods", 100),
    ("controller", "create", "events", 100),
    ("controller", "patch", "pods", 100),
    ("api", "get", VMI, 100),
    ("scheduler", "create", "pods/binding", 100),
    ("scheduler", "create", "events", 100),
    ("kubelet", "patch", "pods/status", 100),
];

pub(super) const VM_CREATE: &[Recorded] = &[
    ("controller", "update", VM_STATUS, 498),
    ("controller", "update", VMI, 310),
    ("controller", "create", "events", 200),
    ("controller", "update", VM, 100),
    ("controller", "patch", VM, 100),
    ("controller", "create", "controllerrevisions", 100),
    ("controller", "create", VMI, 100),
    ("controller", "create", "pods", 100),
    ("controller", "patch", "pods/status", 100),
    ("controller", "patch", "pods", 100),
    ("api", "get", VMI, 100),
    ("scheduler", "create", "pods/binding", 100),
    ("scheduler", "create", "events", 100),
    ("kubelet", "patch", "pods/status", 100),
];

pub(super) const IT_CREATE: &[Recorded] = &[
    ("controller", "update", VM_STATUS, 471),
    ("controller", "update", VMI, 310),
    ("controller", "create", "controllerrevisions", 300),
    ("controller", "create", "events", 200),
    ("controller", "patch", "pods/status", 101),
    ("controller", "update", VM, 100),
    ("controller", "patch", VM, 100),
    ("controller", "patch", VM_STATUS, 100),
    ("controller", "create", VMI, 100),
    ("controller", "create", "pods", 100),
    ("controller", "patch", "pods", 100),
    ("api", "get", "virtualmachinepreferences", 849),
    ("api", "get", "virtualmachineinstancetypes", 375),
    ("api", "get", VMI, 100),
    ("scheduler", "create", "pods/binding", 100),
    ("scheduler", "create", "events", 100),
    ("kubelet", "patch", "pods/status", 100),
];

pub(super) const VMI_DELETE: &[Recorded] = &[
    ("controller", "delete", "pods", 100),
    ("controller", "create", "events", 100),
    ("kubelet", "delete", "pods", 100),
];

pub(super) const VM_DELETE: &[Recorded] = &[
    ("controller", "create", "events", 200),
    ("controller", "delete", VMI, 100),
    ("controller", "update", VM_STATUS, 100),
    ("controller", "delete", "pods", 100),
    ("controller", "patch", VM, 100),
    ("kubelet", "delete", "pods", 100),
];
