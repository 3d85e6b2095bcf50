//! ControllerRevisions: what a VM, its instancetype and its preference were when it was started.

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::super::object::{Key, ObjectExt};
use super::super::resources::REVISIONS;
use super::super::rest::CallError;
use super::Controller;

impl Controller {
    /// Stores the revision unless it is there.
    pub(super) async fn store_revision(
        &self,
        key: &Key,
        revision: &Value,
    ) -> Result<(), CallError> {
        let name = revision["metadata"]["name"].as_str().unwrap_or_default();
        let stored = Key::new(&key.namespace, name);
        if self.caches.revisions.has(&stored) {
            return Ok(());
        }
        let answer = self.rest.create(&REVISIONS, &key.namespace, revision).await;
        match answer {
            Err(error) if error.code() != 409 => Err(error),
            _ => Ok(()),
        }
    }
}

/// The VM as it is started.
pub(super) fn of_start(vm: &DynamicObject) -> Value {
    let generation = vm.metadata.generation.unwrap_or(1);
    let name = format!("revision-start-vm-{}-{generation}", vm.uid());
    of(vm, &name, generation, &json!({"spec": vm.data["spec"]}))
}

/// Something that belongs to the VM, under a name.
pub(super) fn of(vm: &DynamicObject, name: &str, revision: i64, data: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": REVISIONS.kind,
        "metadata": {
            "name": name,
            "namespace": vm.metadata.namespace,
            "ownerReferences": [vm.controller_reference()],
        },
        "data": data,
        "revision": revision,
    })
}
