//! Instancetypes and preferences: remembered when a VM first starts, applied to its instances.

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::super::cache::Shared;
use super::super::object::{Key, ObjectExt};
use super::super::resources::VMS;
use super::super::rest::{CallError, PatchKind};
use super::{Controller, revision};

/// Field of a VM's spec, field of its status, prefix of the annotation on its instances.
const MATCHERS: [(&str, &str, &str); 2] = [
    (
        "instancetype",
        "instancetypeRef",
        "kubevirt.io/instancetype-name",
    ),
    ("preference", "preferenceRef", "kubevirt.io/preference-name"),
];

impl Controller {
    /// Stores a revision of what the VM refers to, and notes the revisions in its status.
    pub(super) async fn store_instancetype(
        &self,
        key: &Key,
        vm: &mut DynamicObject,
    ) -> Result<(), CallError> {
        let mut operations = vec![];
        for (field, reference, _) in MATCHERS {
            if vm.data["status"][reference].is_object() {
                continue;
            }
            let Some(matched) = self.matched(vm, field) else {
                continue;
            };
            let name = revision_name(key, &matched);
            let data = serde_json::to_value(&*matched).expect("a DynamicObject is JSON");
            let stored = revision::of(vm, &name, 0, &data);
            self.store_revision(key, &stored).await?;
            let value = json!({
                "name": matched.metadata.name, "kind": vm.data["spec"][field]["kind"],
                "controllerRevisionRef": {"name": name},
            });
            let path = format!("/status/{reference}");
            operations.push(json!({"op": "add", "path": path, "value": value}));
        }
        if operations.is_empty() {
            return Ok(());
        }
        if !vm.data["status"].is_object() {
            operations.insert(0, json!({"op": "add", "path": "/status", "value": {}}));
        }
        let target = (key, "status");
        *vm = self
            .rest
            .patch(&VMS, target, PatchKind::Json, &operations.into())
            .await?;
        Ok(())
    }

    /// Enters the instancetype's size and the preference's disk bus into a new instance's spec.
    pub(super) fn apply_instancetype(
        &self,
        vm: &DynamicObject,
        metadata: &mut Value,
        spec: &mut Value,
    ) {
        for (field, _, annotation) in MATCHERS {
            let Some(matched) = self.matched(vm, field) else {
                continue;
            };
            metadata["annotations"][annotation] = json!(matched.metadata.name);
            if field == "instancetype" {
                apply_size(&matched, spec);
            } else {
                apply_preference(&matched, spec);
            }
        }
    }

    /// The instancetype or preference that the VM names, if the cache has it.
    fn matched(&self, vm: &DynamicObject, field: &str) -> Option<Shared> {
        let matcher = &vm.data["spec"][field];
        let name = matcher["name"].as_str()?;
        let kind = matcher["kind"].as_str().unwrap_or_default().to_lowercase();
        let in_cluster = kind.starts_with("virtualmachinecluster");
        let caches = &self.caches;
        let cache = match (field, in_cluster) {
            ("instancetype", false) => &caches.instancetypes,
            ("instancetype", true) => &caches.cluster_instancetypes,
            (_, false) => &caches.preferences,
            (_, true) => &caches.cluster_preferences,
        };
        let namespace = vm.metadata.namespace.as_deref().unwrap_or_default();
        cache.get(&Key::new(if in_cluster { "" } else { namespace }, name))
    }
}

fn revision_name(key: &Key, matched: &DynamicObject) -> String {
    let types = matched.types.clone().unwrap_or_default();
    let version = types.api_version.rsplit('/').next().unwrap_or_default();
    format!(
        "{}-{}-{version}-{}-{}",
        key.name,
        matched.metadata.name.as_deref().unwrap_or_default(),
        matched.uid(),
        matched.metadata.generation.unwrap_or(1),
    )
}

fn apply_size(instancetype: &DynamicObject, spec: &mut Value) {
    let size = &instancetype.data["spec"];
    if let Some(guest) = size["cpu"]["guest"].as_i64() {
        spec["domain"]["cpu"] = json!({"sockets": guest, "cores": 1, "threads": 1});
    }
    if size["memory"]["guest"].is_string() {
        spec["domain"]["memory"] = json!({"guest": size["memory"]["guest"]});
    }
}

fn apply_preference(preference: &DynamicObject, spec: &mut Value) {
    let bus = preference.text("/spec/devices/preferredDiskBus");
    let disks = spec
        .pointer_mut("/domain/devices/disks")
        .and_then(Value::as_array_mut);
    let Some(disks) = disks.filter(|_| !bus.is_empty()) else {
        return;
    };
    for disk in disks {
        if !disk["disk"].is_object() {
            disk["disk"] = json!({});
        }
        if disk["disk"]["bus"].is_null() {
            disk["disk"]["bus"] = bus.into();
        }
    }
}
