//! How a VMI's status follows its pod.

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::super::cache::Shared;
use super::super::names::{NODE_NAME, VMI_FINALIZER};
use super::super::object::{Key, ObjectExt, set_condition};
use super::super::phase::{self, FAILED, RUNNING, SCHEDULED, SCHEDULING, status_of};
use super::super::resources::VMIS;
use super::super::rest::{CallError, PatchKind};
use super::super::time;
use super::Controller;

/// uid of qemu in a virt-launcher.
const RUNTIME_USER: i64 = 107;

impl Controller {
    /// Up to the phase Scheduled the VMI is virt-controller's, which replaces it; afterwards it is virt-handler's, and
    /// virt-controller only patches.
    pub(super) async fn follow(
        &self,
        vmi: &DynamicObject,
        pod: Option<&Shared>,
    ) -> Result<(), CallError> {
        let next = match vmi.phase() {
            SCHEDULED | RUNNING => return self.patch_ready(vmi, pod).await,
            _ if phase::is_final(vmi) => return self.release(vmi, pod).await,
            SCHEDULING => after_scheduling(vmi, pod),
            _ => after_pending(vmi, pod),
        };
        if next == *vmi {
            return Ok(());
        }
        self.write_vmi(&next).await
    }

    /// A running VMI whose pod goes is no longer ready.
    async fn patch_ready(
        &self,
        vmi: &DynamicObject,
        pod: Option<&Shared>,
    ) -> Result<(), CallError> {
        if pod.is_some_and(|pod| !pod.is_deleting()) || !vmi.is_true("Ready") {
            return Ok(());
        }
        let old = vmi.data["status"]["conditions"].clone();
        let mut new = old.clone();
        let reason = if pod.is_some() {
            ("PodTerminating", "virt-launcher pod is terminating")
        } else {
            (
                "PodNotExists",
                "virt-launcher pod has not yet been scheduled",
            )
        };
        set_condition(&mut new, not_ready(reason), &time::seconds());
        let patch = json!([
            {"op": "test", "path": "/status/conditions", "value": old},
            {"op": "replace", "path": "/status/conditions", "value": new},
        ]);
        self.patch_vmi(vmi, &patch).await
    }

    /// A VMI that is over goes when its pod is gone.
    async fn release(&self, vmi: &DynamicObject, pod: Option<&Shared>) -> Result<(), CallError> {
        if pod.is_some() || !vmi.has_finalizer(VMI_FINALIZER) {
            return Ok(());
        }
        let old = vmi.metadata.finalizers.clone().unwrap_or_default();
        let mut new = old.clone();
        new.retain(|name| name != VMI_FINALIZER);
        let patch = json!([
            {"op": "test", "path": "/metadata/finalizers", "value": old},
            {"op": "replace", "path": "/metadata/finalizers", "value": new},
        ]);
        self.patch_vmi(vmi, &patch).await
    }

    async fn patch_vmi(&self, vmi: &DynamicObject, patch: &Value) -> Result<(), CallError> {
        let key = Key::of(vmi);
        self.vmi_writes.expect(&key);
        self.rest
            .patch(&VMIS, (&key, ""), PatchKind::Json, patch)
            .await
            .inspect_err(|_| self.vmi_writes.clear(&key))?;
        Ok(())
    }
}

fn after_pending(vmi: &DynamicObject, pod: Option<&Shared>) -> DynamicObject {
    let mut next = vmi.clone();
    let Some(pod) = pod else {
        if vmi.is_deleting() {
            phase::enter(&mut next, FAILED);
        }
        return next;
    };
    phase::enter(&mut next, SCHEDULING);
    let now = time::seconds();
    let volumes = volume_statuses(vmi);
    let status = status_of(&mut next);
    status["runtimeUser"] = RUNTIME_USER.into();
    status["qosClass"] = pod.data["status"]["qosClass"].clone();
    status["launcherContainerImageVersion"] = pod.data["spec"]["containers"][0]["image"].clone();
    status["volumeStatus"] = volumes;
    set_active_pod(status, pod);
    let reason = ("GuestNotRunning", "Guest VM is not reported as running");
    set_condition(&mut status["conditions"], not_ready(reason), &now);
    next
}

fn after_scheduling(vmi: &DynamicObject, pod: Option<&Shared>) -> DynamicObject {
    let mut next = vmi.clone();
    match pod {
        Some(pod) if is_over(pod) => phase::enter(&mut next, FAILED),
        None => phase::enter(&mut next, FAILED),
        Some(pod) if is_ready(pod) => hand_over(&mut next, pod),
        Some(_) => {}
    }
    next
}

/// From here on the VMI belongs to the virt-handler of its node.
fn hand_over(vmi: &mut DynamicObject, pod: &DynamicObject) {
    phase::enter(vmi, SCHEDULED);
    let node = pod.text("/spec/nodeName").to_owned();
    let labels = vmi.metadata.labels.get_or_insert_default();
    labels.insert(NODE_NAME.to_owned(), node.clone());
    let status = status_of(vmi);
    status["nodeName"] = node.into();
    set_active_pod(status, pod);
}

fn set_active_pod(status: &mut Value, pod: &DynamicObject) {
    if !status["activePods"].is_object() {
        status["activePods"] = json!({});
    }
    status["activePods"][pod.uid()] = pod.text("/spec/nodeName").into();
}

fn is_over(pod: &DynamicObject) -> bool {
    pod.is_deleting() || matches!(pod.phase(), "Succeeded" | "Failed")
}

fn is_ready(pod: &DynamicObject) -> bool {
    let containers = pod.items("/status/containerStatuses");
    pod.phase() == "Running"
        && !containers.is_empty()
        && containers
            .iter()
            .all(|container| container["ready"] == true)
}

fn not_ready((reason, message): (&str, &str)) -> Value {
    json!({"type": "Ready", "status": "False", "reason": reason, "message": message})
}

fn volume_statuses(vmi: &DynamicObject) -> Value {
    let volumes = vmi.items("/spec/volumes").iter().map(|volume| {
        let mut status = json!({"name": volume["name"], "target": ""});
        if volume["containerDisk"].is_object() {
            status["containerDiskVolume"] = json!({});
        }
        status
    });
    volumes.collect()
}
