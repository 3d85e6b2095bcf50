//! The controller of virtual machine instances.

use kube::core::DynamicObject;
use serde_json::json;

use super::super::cache::Shared;
use super::super::names::{API_VERSION, NODE_NAME, OBSERVED, STORAGE_OBSERVED, UNPAUSED};
use super::super::object::{Key, ObjectExt};
use super::super::phase::{self, PENDING};
use super::super::resources::{PODS, VMIS};
use super::super::rest::{CallError, PatchKind};
use super::super::time;
use super::{Controller, pod};

impl Controller {
    /// Brings one VMI a step further: as far as one write of the VMI goes; its event brings the next step.
    pub(super) async fn reconcile_vmi(&self, key: &Key) -> Result<(), CallError> {
        let Some(vmi) = self.caches.vmis.get(key) else {
            self.forget_vmi(key);
            return Ok(());
        };
        if !self.vmi_writes.is_satisfied(key) {
            return Ok(());
        }
        if vmi.annotation(OBSERVED) != API_VERSION {
            return self.write_vmi(&observed(&vmi)).await;
        }
        let pods = self.caches.pods.indexed(vmi.uid());
        let pod = current(&pods);
        self.act_on_pod(key, &vmi, pod).await?;
        self.follow(&vmi, pod).await
    }

    fn forget_vmi(&self, key: &Key) {
        self.pod_creations.clear(key);
        self.pod_deletions.clear(key);
        self.vmi_writes.clear(key);
    }

    async fn act_on_pod(
        &self,
        key: &Key,
        vmi: &DynamicObject,
        pod: Option<&Shared>,
    ) -> Result<(), CallError> {
        let over = vmi.is_deleting() || phase::is_final(vmi);
        match pod {
            None if !over && matches!(vmi.phase(), "" | PENDING) => self.create_pod(key, vmi).await,
            None => Ok(()),
            Some(pod) if pod.is_deleting() => Ok(()),
            Some(pod) if over => self.delete_pod(key, vmi, pod).await,
            Some(pod) => {
                self.open_readiness_gate(pod).await?;
                self.label_with_node(vmi, pod).await
            }
        }
    }

    async fn create_pod(&self, key: &Key, vmi: &DynamicObject) -> Result<(), CallError> {
        if !self.pod_creations.is_satisfied(key) {
            return Ok(());
        }
        self.pod_creations.expect(key);
        let created = self
            .rest
            .create(&PODS, &key.namespace, &pod::template(vmi))
            .await
            .inspect_err(|error| {
                self.pod_creations.clear(key);
                self.tell_refusal(vmi, error);
            })?;
        let name = created.metadata.name.as_deref().unwrap_or_default();
        let message = format!("Created virtual machine pod {name}");
        self.recorder
            .record(vmi, "Normal", "SuccessfulCreate", &message);
        Ok(())
    }

    /// As a quota or a webhook refuses a pod.
    fn tell_refusal(&self, vmi: &DynamicObject, error: &CallError) {
        if let CallError::Refused { message, .. } = error {
            let message = format!("Error creating pod: {message}");
            self.recorder
                .record(vmi, "Warning", "FailedCreate", &message);
        }
    }

    async fn delete_pod(
        &self,
        key: &Key,
        vmi: &DynamicObject,
        pod: &DynamicObject,
    ) -> Result<(), CallError> {
        if !self.pod_deletions.is_satisfied(key) {
            return Ok(());
        }
        self.pod_deletions.expect(key);
        let options = json!({"preconditions": {"uid": pod.uid()}});
        let pod_key = Key::of(pod);
        self.rest
            .delete(&PODS, &pod_key, &options)
            .await
            .inspect_err(|_| self.pod_deletions.clear(key))?;
        let message = format!("Deleted virtual machine pod {}", pod_key.name);
        self.recorder
            .record(vmi, "Normal", "SuccessfulDelete", &message);
        Ok(())
    }

    /// A paused VMI is not ready; one that never was paused says so once.
    async fn open_readiness_gate(&self, pod: &DynamicObject) -> Result<(), CallError> {
        if pod.condition(UNPAUSED).is_some() {
            return Ok(());
        }
        let now = time::seconds();
        let condition = json!({
            "type": UNPAUSED, "status": "True", "reason": "NotPaused",
            "message": "the virtual machine is not paused", "lastProbeTime": now, "lastTransitionTime": now,
        });
        let patch = json!({"status": {"conditions": [condition]}});
        let target = (&Key::of(pod), "status");
        self.rest
            .patch(&PODS, target, PatchKind::Strategic, &patch)
            .await?;
        Ok(())
    }

    /// The pod is found by its node's virt-handler through this label. The test makes a patch on labels that are no
    /// longer the pod's fail with 422.
    async fn label_with_node(
        &self,
        vmi: &DynamicObject,
        pod: &DynamicObject,
    ) -> Result<(), CallError> {
        let node = vmi.text("/status/nodeName");
        let key = Key::of(pod);
        if node.is_empty() || pod.label(NODE_NAME) == node || !self.pod_labels.is_satisfied(&key) {
            return Ok(());
        }
        let old = pod.metadata.labels.clone().unwrap_or_default();
        let mut new = old.clone();
        new.insert(NODE_NAME.to_owned(), node.to_owned());
        let patch = json!([
            {"op": "test", "path": "/metadata/labels", "value": old},
            {"op": "replace", "path": "/metadata/labels", "value": new},
        ]);
        self.pod_labels.expect(&key);
        self.rest
            .patch(&PODS, (&key, ""), PatchKind::Json, &patch)
            .await
            .inspect_err(|_| self.pod_labels.clear(&key))?;
        Ok(())
    }

    /// Replaces the VMI by a changed copy of the cache's. Until the cache shows the result, nothing else is done.
    pub(super) async fn write_vmi(&self, vmi: &DynamicObject) -> Result<(), CallError> {
        let key = Key::of(vmi);
        self.vmi_writes.expect(&key);
        self.rest
            .replace(&VMIS, vmi, "")
            .await
            .inspect_err(|_| self.vmi_writes.clear(&key))?;
        Ok(())
    }
}

/// The pod that counts: one that still runs, else any.
fn current(pods: &[Shared]) -> Option<&Shared> {
    let alive = pods
        .iter()
        .find(|pod| !pod.is_deleting() && !matches!(pod.phase(), "Succeeded" | "Failed"));
    alive.or_else(|| pods.first())
}

/// What virt-controller first writes: that it has seen the VMI, and what a webhook would have set.
fn observed(vmi: &DynamicObject) -> DynamicObject {
    let mut next = vmi.clone();
    let annotations = next.metadata.annotations.get_or_insert_default();
    for name in [OBSERVED, STORAGE_OBSERVED] {
        annotations.insert(name.to_owned(), API_VERSION.to_owned());
    }
    phase::set_defaults(&mut next);
    next
}
