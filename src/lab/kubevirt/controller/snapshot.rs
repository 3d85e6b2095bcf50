//! Of the snapshot controller, what every VM meets: it notes in the VM's status which volumes can be snapshotted.

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::super::object::{Key, ObjectExt};
use super::super::phase::status_of;
use super::super::resources::VMS;
use super::super::rest::CallError;
use super::Controller;

impl Controller {
    /// Writes the status with the resourceVersion of the cache, unaware of the VM controller beside it.
    pub(super) async fn reconcile_snapshot_status(&self, key: &Key) -> Result<(), CallError> {
        let Some(vm) = self.caches.vms.get(key) else {
            return Ok(());
        };
        let statuses = volume_statuses(&vm);
        if vm.is_deleting() || vm.items("/status/volumeSnapshotStatuses") == statuses {
            return Ok(());
        }
        let mut next = DynamicObject::clone(&vm);
        status_of(&mut next)["volumeSnapshotStatuses"] = statuses.into();
        self.rest.replace(&VMS, &next, "status").await?;
        Ok(())
    }
}

fn volume_statuses(vm: &DynamicObject) -> Vec<Value> {
    let volumes = vm.items("/spec/template/spec/volumes").iter();
    volumes
        .map(|volume| {
            let name = volume["name"].as_str().unwrap_or_default();
            let reason = format!("Snapshot is not supported for this volumeSource type [{name}]");
            json!({"name": name, "enabled": false, "reason": reason})
        })
        .collect()
}
