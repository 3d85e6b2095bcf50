//! Phases of a VMI, and what virt-api's webhook gives a new one.

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::names::VMI_FINALIZER;
use super::object::ObjectExt;
use super::time;

pub(crate) const PENDING: &str = "Pending";
pub(crate) const SCHEDULING: &str = "Scheduling";
pub(crate) const SCHEDULED: &str = "Scheduled";
pub(crate) const RUNNING: &str = "Running";
pub(crate) const SUCCEEDED: &str = "Succeeded";
pub(crate) const FAILED: &str = "Failed";

/// Whether the VMI will not run again.
pub(crate) fn is_final(vmi: &DynamicObject) -> bool {
    matches!(vmi.phase(), SUCCEEDED | FAILED)
}

/// Sets the phase and notes when, in whole seconds.
pub(crate) fn enter(vmi: &mut DynamicObject, phase: &str) {
    let transition = json!({"phase": phase, "phaseTransitionTimestamp": time::seconds()});
    let status = status_of(vmi);
    status["phase"] = phase.into();
    match status["phaseTransitionTimestamps"].as_array_mut() {
        Some(transitions) => transitions.push(transition),
        None => status["phaseTransitionTimestamps"] = json!([transition]),
    }
}

/// The status, an object even if there was none.
pub(crate) fn status_of(object: &mut DynamicObject) -> &mut Value {
    if !object.data.is_object() {
        object.data = json!({});
    }
    let status = &mut object.data["status"];
    if !status.is_object() {
        *status = json!({});
    }
    status
}

/// What a new VMI gets: the finalizer, the phase Pending and the architecture. Nothing that it has is changed.
pub(crate) fn set_defaults(vmi: &mut DynamicObject) {
    if !vmi.has_finalizer(VMI_FINALIZER) && !vmi.is_deleting() {
        let finalizers = vmi.metadata.finalizers.get_or_insert_default();
        finalizers.push(VMI_FINALIZER.to_owned());
    }
    if vmi.phase().is_empty() {
        enter(vmi, PENDING);
    }
    set_spec_defaults(&mut vmi.data["spec"]);
}

/// The defaults of a VMI's spec, which is also what a VM has as its template.
pub(crate) fn set_spec_defaults(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    if spec["architecture"].is_null() {
        spec["architecture"] = "amd64".into();
    }
    if spec["domain"].is_object() && spec["domain"]["machine"].is_null() {
        spec["domain"]["machine"] = json!({"type": "q35"});
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubevirt::resources::VMIS;

    #[test]
    fn defaults_come_once_and_phases_are_noted_with_a_grain_of_a_second() {
        let spec = json!({"spec": {"domain": {"devices": {}}}});
        let mut vmi = DynamicObject::new("vm-1", &VMIS).data(spec);
        set_defaults(&mut vmi);
        let first = vmi.clone();
        set_defaults(&mut vmi);
        assert_eq!(vmi, first);
        enter(&mut vmi, SCHEDULING);
        let transitions = vmi.items("/status/phaseTransitionTimestamps");
        assert_eq!(transitions.len(), 2);
        let when = transitions[1]["phaseTransitionTimestamp"].as_str();
        assert_eq!(when.map(str::len), Some("2026-01-01T00:00:00Z".len()));
        assert_eq!(vmi.text("/spec/domain/machine/type"), "q35");
    }
}
