//! Bodies as KubeVirt's components and kube-apiserver send them in a run: their sizes, their shape
//! and the order of their members, with values that say nothing.

use bytes::Bytes;

const NAMESPACE: &str = "kubevirt-perf-test";
const UID: &str = "5bb5ca5c-0b23-4b37-9fd1-5b0e8f5c5d0e";
const TIME: &str = "2026-08-22T10:11:12Z";

/// A virtual machine instance as its components send it: in the order of Go's fields. About 8 KB.
pub fn instance_sent() -> Bytes {
    let (metadata, fields) = (identity("vmi-0042"), managed_fields("kubevirt.io/v1", 3));
    format!(
        r#"{{"kind":"VirtualMachineInstance","apiVersion":"kubevirt.io/v1","metadata":{{{metadata},"creationTimestamp":"{TIME}","labels":{},"annotations":{},"finalizers":["kubevirt.io/virtualMachineControllerFinalize"],"managedFields":{fields}}},"spec":{},"status":{}}}"#,
        labels(4),
        annotations(),
        list("devices", 22),
        conditions(12),
    )
    .into()
}

/// The same as kube-apiserver gives what a CRD defines: in the order of the alphabet.
pub fn instance() -> Bytes {
    let fields = managed_fields("kubevirt.io/v1", 3);
    format!(
        r#"{{"apiVersion":"kubevirt.io/v1","kind":"VirtualMachineInstance","metadata":{{"annotations":{},"creationTimestamp":"{TIME}","finalizers":["kubevirt.io/virtualMachineControllerFinalize"],"generation":9,"labels":{},"managedFields":{fields},"name":"vmi-0042","namespace":"{NAMESPACE}","resourceVersion":"1234567","uid":"{UID}"}},"spec":{},"status":{}}}"#,
        annotations(),
        labels(4),
        list("devices", 22),
        conditions(12),
    )
    .into()
}

/// A pod of virt-launcher as virt-controller creates it. About 6 KB.
pub fn pod_sent() -> Bytes {
    let owner = owner();
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"generateName":"virt-launcher-vmi-0042-","creationTimestamp":null,"labels":{},"annotations":{},"ownerReferences":[{owner}]}},"spec":{},"status":{{}}}}"#,
        labels(6),
        annotations(),
        list("containers", 36),
    )
    .into()
}

/// The same as it is stored. About 10 KB.
pub fn pod() -> Bytes {
    let owner = owner();
    let (metadata, fields) = (
        identity("virt-launcher-vmi-0042-x7k2p"),
        managed_fields("v1", 4),
    );
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{{metadata},"creationTimestamp":"{TIME}","labels":{},"annotations":{},"ownerReferences":[{owner}],"managedFields":{fields}}},"spec":{},"status":{}}}"#,
        labels(6),
        annotations(),
        list("containers", 36),
        conditions(8),
    )
    .into()
}

/// A JSON patch as KubeVirt's components make them: what was there, then what is to be there.
pub fn patch(path: &str) -> Bytes {
    let (before, after) = (labels(4), labels(5));
    format!(
        r#"[{{"op":"test","path":"{path}","value":{before}}},{{"op":"replace","path":"{path}","value":{after}}}]"#
    )
    .into()
}

/// The answer to a patch whose test does not hold.
pub fn test_failed() -> Bytes {
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server rejected our request due to an error in our request","reason":"Invalid","details":{},"code":422}"#.into()
}

/// An event as virt-controller sends it and, with its identity, as it is stored.
pub fn event(is_stored: bool) -> Bytes {
    let metadata = if is_stored {
        let fields = managed_fields("v1", 1);
        let identity = identity("vmi-0042.18a4b2c3d4e5f607");
        format!(r#"{identity},"creationTimestamp":"{TIME}","managedFields":{fields}"#)
    } else {
        format!(
            r#""name":"vmi-0042.18a4b2c3d4e5f607","namespace":"{NAMESPACE}","creationTimestamp":null"#
        )
    };
    format!(
        r#"{{"kind":"Event","apiVersion":"v1","metadata":{{{metadata}}},"involvedObject":{{"kind":"VirtualMachineInstance","namespace":"{NAMESPACE}","name":"vmi-0042","uid":"{UID}","apiVersion":"kubevirt.io/v1","resourceVersion":"1234567"}},"reason":"SuccessfulCreate","message":"Created virtual machine pod virt-launcher-vmi-0042-x7k2p","source":{{"component":"virtualmachine-controller"}},"firstTimestamp":"{TIME}","lastTimestamp":"{TIME}","count":1,"type":"Normal","eventTime":null,"reportingComponent":"virtualmachine-controller","reportingInstance":""}}"#
    )
    .into()
}

/// The lease of a leader.
pub fn lease() -> Bytes {
    let (metadata, fields) = (
        identity("virt-controller"),
        managed_fields("coordination.k8s.io/v1", 1),
    );
    format!(
        r#"{{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{{{metadata},"creationTimestamp":"{TIME}","managedFields":{fields}}},"spec":{{"holderIdentity":"virt-controller-6f8d7c9b5-abcde_{UID}","leaseDurationSeconds":15,"acquireTime":"2026-08-22T10:11:12.000000Z","renewTime":"2026-08-22T10:11:12.000000Z","leaseTransitions":1}}}}"#
    )
    .into()
}

/// A line of a watch that says that this object was changed.
pub fn modified(object: &[u8]) -> Bytes {
    [&br#"{"type":"MODIFIED","object":"#[..], object, b"}\n"]
        .concat()
        .into()
}

fn identity(name: &str) -> String {
    format!(
        r#""name":"{name}","namespace":"{NAMESPACE}","uid":"{UID}","resourceVersion":"1234567","generation":9"#
    )
}

fn owner() -> String {
    format!(
        r#"{{"apiVersion":"kubevirt.io/v1","kind":"VirtualMachineInstance","name":"vmi-0042","uid":"{UID}","controller":true,"blockOwnerDeletion":true}}"#
    )
}

fn labels(count: usize) -> String {
    let labels = (0..count).map(|number| format!(r#""kubevirt.io/label-{number}":"{UID}""#));
    format!("{{{}}}", labels.collect::<Vec<_>>().join(","))
}

/// Some of them hold JSON themselves, with escaped quotes.
fn annotations() -> String {
    let status = r#"[{\n    \"name\": \"default\",\n    \"interface\": \"eth0\",\n    \"ips\": [\n        \"10.244.0.42\"\n    ],\n    \"default\": true,\n    \"dns\": {}\n}]"#;
    format!(
        r#"{{"k8s.v1.cni.cncf.io/network-status":"{status}","kubevirt.io/domain":"vmi-0042","kubevirt.io/latest-observed-api-version":"v1","kubevirt.io/storage-observed-api-version":"v1","post.hook.backup.velero.io/command":"[\"/usr/bin/virt-freezer\", \"--unfreeze\", \"--name\", \"vmi-0042\"]"}}"#
    )
}

/// Who manages which fields; about 0.9 KB for each of them.
fn managed_fields(version: &str, managers: usize) -> String {
    let fields = (0..14)
        .map(|number| format!(r#""f:member-{number}":{{".":{{}},"f:name":{{}},"f:value":{{}}}}"#));
    let fields = fields.collect::<Vec<_>>().join(",");
    let one = format!(
        r#"{{"manager":"virt-controller","operation":"Update","apiVersion":"{version}","time":"{TIME}","fieldsType":"FieldsV1","fieldsV1":{{"f:metadata":{{"f:labels":{{".":{{}}}}}},"f:spec":{{{fields}}}}}}}"#
    );
    format!("[{}]", vec![one; managers].join(","))
}

/// A part of an object with such a list; about 0.1 KB for each of its members.
fn list(name: &str, count: usize) -> String {
    let members = (0..count).map(|number| {
        format!(
            r#"{{"name":"member-{number}","value":"/var/run/kubevirt-private/{number}","resources":{{"limits":{{"memory":"128Mi"}}}}}}"#
        )
    });
    let members = members.collect::<Vec<_>>().join(",");
    format!(r#"{{"nodeName":"node01","{name}":[{members}]}}"#)
}

fn conditions(count: usize) -> String {
    let condition = format!(
        r#"{{"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":"{TIME}","message":"the \"virt-launcher\" pod is ready","reason":"PodReady"}}"#
    );
    let conditions = vec![condition; count].join(",");
    format!(r#"{{"phase":"Running","conditions":[{conditions}]}}"#)
}
