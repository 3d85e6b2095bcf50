//! What a VM's status says of its VMI.

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::super::object::{ObjectExt, items, set_condition};
use super::super::phase::{self, RUNNING, status_of};
use super::super::time;

/// A copy of the VM with the status that it should have.
pub(super) fn next(vm: &DynamicObject, vmi: Option<&DynamicObject>) -> DynamicObject {
    let mut next = vm.clone();
    let printable = printable_status(vm, vmi);
    let status = status_of(&mut next);
    status["printableStatus"] = printable.into();
    // The last days of an instance are not told in detail.
    if vm.is_deleting() && vmi.is_some() {
        return next;
    }
    set_flag(status, "created", vmi.is_some());
    set_flag(status, "ready", vmi.is_some_and(|vmi| vmi.is_true("Ready")));
    status["runStrategy"] = run_strategy(vm);
    if let Some(generation) = vm.metadata.generation {
        status["desiredGeneration"] = generation.into();
        status["observedGeneration"] = generation.into();
    }
    set_conditions(status, vmi);
    next
}

fn run_strategy(vm: &DynamicObject) -> Value {
    let spec = &vm.data["spec"];
    match (&spec["runStrategy"], spec["running"].as_bool()) {
        (Value::String(strategy), _) => strategy.as_str().into(),
        (_, Some(true)) => "Always".into(),
        _ => "Halted".into(),
    }
}

/// Go omits what is false.
fn set_flag(status: &mut Value, name: &str, value: bool) {
    let fields = status.as_object_mut().expect("status_of gives an object");
    if value {
        fields.insert(name.to_owned(), true.into());
    } else {
        fields.remove(name);
    }
}

fn printable_status(vm: &DynamicObject, vmi: Option<&DynamicObject>) -> &'static str {
    match vmi {
        _ if vm.is_deleting() => "Terminating",
        None => "Stopped",
        Some(vmi) if vmi.is_deleting() => "Stopping",
        Some(vmi) if phase::is_final(vmi) => "Stopped",
        Some(vmi) if vmi.phase() == RUNNING => "Running",
        Some(_) => "Starting",
    }
}

/// The VM shows its VMI's conditions, and that it is not ready while there is none.
fn set_conditions(status: &mut Value, vmi: Option<&DynamicObject>) {
    let now = time::seconds();
    let conditions = vmi.map_or(&[][..], |vmi| vmi.items("/status/conditions"));
    if !conditions
        .iter()
        .any(|condition| condition["type"] == "Ready")
    {
        let reason = if vmi.is_some() {
            ("PodConditionMissing", "VMI is missing the Ready condition")
        } else {
            ("VMINotExists", "VMI does not exist")
        };
        set_condition(&mut status["conditions"], not_ready(reason), &now);
    }
    retain_known(status, conditions);
    for condition in conditions {
        let mut copy = condition.clone();
        if let Some(fields) = copy.as_object_mut() {
            fields.retain(|name, _| {
                matches!(name.as_str(), "type" | "status" | "reason" | "message")
            });
        }
        set_condition(&mut status["conditions"], copy, &now);
    }
}

fn retain_known(status: &mut Value, conditions: &[Value]) {
    let known = items(status.get("conditions"))
        .iter()
        .filter(|own| {
            own["type"] == "Ready" || conditions.iter().any(|other| other["type"] == own["type"])
        })
        .cloned()
        .collect();
    status["conditions"] = Value::Array(known);
}

fn not_ready((reason, message): (&str, &str)) -> Value {
    json!({"type": "Ready", "status": "False", "reason": reason, "message": message})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubevirt::resources::{VMIS, VMS};

    fn vm() -> DynamicObject {
        DynamicObject::new("vm-1", &VMS).data(json!({"spec": {"runStrategy": "Always"}}))
    }

    fn vmi(phase: &str, ready: &str, reason: &str) -> DynamicObject {
        let condition = json!({"type": "Ready", "status": ready, "reason": reason});
        DynamicObject::new("vm-1", &VMIS)
            .data(json!({"status": {"phase": phase, "conditions": [condition]}}))
    }

    #[test]
    fn the_status_changes_once_for_each_step_that_a_user_can_see() {
        let absent = next(&vm(), None);
        assert_eq!(absent.text("/status/printableStatus"), "Stopped");
        assert_eq!(next(&absent, None), absent);
        let bare = DynamicObject::new("vm-1", &VMIS).data(json!({"status": {"phase": "Pending"}}));
        let pending = next(&absent, Some(&bare));
        assert_eq!(pending.text("/status/printableStatus"), "Starting");
        let scheduling = next(
            &pending,
            Some(&vmi("Scheduling", "False", "GuestNotRunning")),
        );
        assert_ne!(scheduling, pending);
        assert_eq!(
            next(
                &scheduling,
                Some(&vmi("Scheduled", "False", "GuestNotRunning"))
            ),
            scheduling
        );
        let running = next(&pending, Some(&vmi("Running", "True", "")));
        assert_eq!(running.data["status"]["ready"], true);
        assert!(running.is_true("Ready"));
        assert_eq!(next(&running, Some(&vmi("Running", "True", ""))), running);
    }
}
