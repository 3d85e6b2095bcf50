//! The controller of virtual machines: keeps an instance for each one that is to run.

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::super::cache::Shared;
use super::super::names::{API_VERSION, OBSERVED, STORAGE_OBSERVED, VM_FINALIZER};
use super::super::object::{Key, ObjectExt};
use super::super::phase;
use super::super::resources::{VMIS, VMS};
use super::super::rest::{CallError, PatchKind};
use super::{Controller, revision, vm_status};

impl Controller {
    /// Brings one VM as far as it can be, then writes its status.
    pub(super) async fn reconcile_vm(&self, key: &Key) -> Result<(), CallError> {
        let Some(vm) = self.caches.vms.get(key) else {
            self.vmi_creations.clear(key);
            self.vmi_deletions.clear(key);
            return Ok(());
        };
        if vm.annotation(OBSERVED) != API_VERSION {
            self.rest.replace(&VMS, &observed(&vm), "").await?;
            return Ok(());
        }
        let vmi = self.caches.vmis.get(key);
        let mut vm = DynamicObject::clone(&vm);
        let outcome = self.act_on_vm(key, &mut vm, vmi.as_ref()).await;
        // The status is written even if something failed, with the newest object that this pass has had in hand.
        self.write_vm_status(&vm, vmi.as_deref()).await?;
        outcome
    }

    async fn act_on_vm(
        &self,
        key: &Key,
        vm: &mut DynamicObject,
        vmi: Option<&Shared>,
    ) -> Result<(), CallError> {
        if vm.is_deleting() {
            return match vmi {
                Some(vmi) => self.delete_vmi(key, vm, vmi).await,
                None => self.release_vm(key, vm).await,
            };
        }
        if !vm.has_finalizer(VM_FINALIZER) {
            self.hold_vm(key, vm).await?;
        }
        match vmi {
            None if is_to_run(vm) => self.start_vmi(key, vm).await,
            Some(vmi) if is_to_stop(vm) || phase::is_final(vmi) => {
                self.delete_vmi(key, vm, vmi).await
            }
            _ => Ok(()),
        }
    }

    async fn start_vmi(&self, key: &Key, vm: &mut DynamicObject) -> Result<(), CallError> {
        if !self.vmi_creations.is_satisfied(key) {
            return Ok(());
        }
        self.store_instancetype(key, vm).await?;
        self.store_revision(key, &revision::of_start(vm)).await?;
        self.vmi_creations.expect(key);
        let vmi = self.instance(vm);
        self.rest
            .create(&VMIS, &key.namespace, &vmi)
            .await
            .inspect_err(|_| self.vmi_creations.clear(key))?;
        let message = format!(
            "Started the virtual machine by creating the new virtual machine instance {}",
            key.name
        );
        self.recorder
            .record(vm, "Normal", "SuccessfulCreate", &message);
        Ok(())
    }

    async fn delete_vmi(
        &self,
        key: &Key,
        vm: &DynamicObject,
        vmi: &DynamicObject,
    ) -> Result<(), CallError> {
        if vmi.is_deleting() || !self.vmi_deletions.is_satisfied(key) {
            return Ok(());
        }
        self.vmi_deletions.expect(key);
        let options = json!({"preconditions": {"uid": vmi.uid()}});
        self.rest
            .delete(&VMIS, key, &options)
            .await
            .inspect_err(|_| self.vmi_deletions.clear(key))?;
        let message = format!(
            "Stopped the virtual machine by deleting the virtual machine instance {}",
            vmi.uid()
        );
        self.recorder
            .record(vm, "Normal", "SuccessfulDelete", &message);
        Ok(())
    }

    async fn hold_vm(&self, key: &Key, vm: &mut DynamicObject) -> Result<(), CallError> {
        let mut finalizers = vm.metadata.finalizers.clone().unwrap_or_default();
        finalizers.push(VM_FINALIZER.to_owned());
        self.patch_finalizers(key, vm, finalizers).await
    }

    /// A VM goes when its VMI is gone.
    async fn release_vm(&self, key: &Key, vm: &mut DynamicObject) -> Result<(), CallError> {
        if !vm.has_finalizer(VM_FINALIZER) {
            return Ok(());
        }
        let mut finalizers = vm.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|name| name != VM_FINALIZER);
        self.patch_finalizers(key, vm, finalizers).await
    }

    async fn patch_finalizers(
        &self,
        key: &Key,
        vm: &mut DynamicObject,
        finalizers: Vec<String>,
    ) -> Result<(), CallError> {
        let path = "/metadata/finalizers";
        let patch = match &vm.metadata.finalizers {
            Some(old) => json!([
                {"op": "test", "path": path, "value": old},
                {"op": "replace", "path": path, "value": finalizers},
            ]),
            None => json!([{"op": "add", "path": path, "value": finalizers}]),
        };
        *vm = self
            .rest
            .patch(&VMS, (key, ""), PatchKind::Json, &patch)
            .await?;
        Ok(())
    }

    /// Replaces the status if it is not what it should be. The resourceVersion is that of `vm`, so this meets a
    /// conflict when somebody else has written since.
    async fn write_vm_status(
        &self,
        vm: &DynamicObject,
        vmi: Option<&DynamicObject>,
    ) -> Result<(), CallError> {
        let next = vm_status::next(vm, vmi);
        if next == *vm {
            return Ok(());
        }
        self.rest.replace(&VMS, &next, "status").await?;
        Ok(())
    }

    /// The instance to create: the VM's template, sized by its instancetype.
    fn instance(&self, vm: &DynamicObject) -> Value {
        let template = &vm.data["spec"]["template"];
        let mut metadata = json!({
            "name": vm.metadata.name, "namespace": vm.metadata.namespace,
            "ownerReferences": [vm.controller_reference()],
        });
        for field in ["labels", "annotations"] {
            if template["metadata"][field].is_object() {
                metadata[field] = template["metadata"][field].clone();
            }
        }
        let mut spec = template["spec"].clone();
        self.apply_instancetype(vm, &mut metadata, &mut spec);
        json!({
            "apiVersion": "kubevirt.io/v1", "kind": VMIS.kind, "metadata": metadata, "spec": spec,
        })
    }
}

fn observed(vm: &DynamicObject) -> DynamicObject {
    let mut next = vm.clone();
    let annotations = next.metadata.annotations.get_or_insert_default();
    for name in [OBSERVED, STORAGE_OBSERVED] {
        annotations.insert(name.to_owned(), API_VERSION.to_owned());
    }
    next
}

/// `Manual` neither starts nor stops anything.
fn is_to_run(vm: &DynamicObject) -> bool {
    let spec = &vm.data["spec"];
    matches!(
        spec["runStrategy"].as_str(),
        Some("Always" | "RerunOnFailure")
    ) || spec["running"] == true
}

fn is_to_stop(vm: &DynamicObject) -> bool {
    let spec = &vm.data["spec"];
    spec["runStrategy"] == "Halted" || spec["running"] == false
}
