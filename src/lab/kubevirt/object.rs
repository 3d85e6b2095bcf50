//! Reading and changing dynamic objects.

use std::fmt;

use kube::core::DynamicObject;
use serde_json::{Value, json};

/// Namespace (empty at cluster scope) and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub(crate) fn of(object: &DynamicObject) -> Self {
        Self {
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            out.write_str(&self.name)
        } else {
            write!(out, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What the components ask of an object, whatever its type.
pub(crate) trait ObjectExt {
    /// `metadata.uid`, empty for an object that is not stored.
    fn uid(&self) -> &str;
    /// Whether `metadata.deletionTimestamp` is set.
    fn is_deleting(&self) -> bool;
    /// A label, or empty.
    fn label(&self, name: &str) -> &str;
    /// An annotation, or empty.
    fn annotation(&self, name: &str) -> &str;
    /// Whether the finalizer is there.
    fn has_finalizer(&self, name: &str) -> bool;
    /// `status.phase`, or empty.
    fn phase(&self) -> &str;
    /// The text at a JSON pointer, or empty.
    fn text(&self, pointer: &str) -> &str;
    /// The items at a JSON pointer, or none.
    fn items(&self, pointer: &str) -> &[Value];
    /// A member of `status.conditions`.
    fn condition(&self, kind: &str) -> Option<&Value>;
    /// Whether the condition is `True`.
    fn is_true(&self, kind: &str) -> bool;
    /// An owner reference to this object as controller.
    fn controller_reference(&self) -> Value;
    /// The short form that an event points at.
    fn reference(&self) -> Value;
}

impl ObjectExt for DynamicObject {
    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    fn label(&self, name: &str) -> &str {
        let labels = self.metadata.labels.as_ref();
        labels
            .and_then(|all| all.get(name))
            .map_or("", String::as_str)
    }

    fn annotation(&self, name: &str) -> &str {
        let annotations = self.metadata.annotations.as_ref();
        annotations
            .and_then(|all| all.get(name))
            .map_or("", String::as_str)
    }

    fn has_finalizer(&self, name: &str) -> bool {
        let finalizers = self.metadata.finalizers.as_ref();
        finalizers.is_some_and(|all| all.iter().any(|known| known == name))
    }

    fn phase(&self) -> &str {
        self.text("/status/phase")
    }

    fn text(&self, pointer: &str) -> &str {
        self.data
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn items(&self, pointer: &str) -> &[Value] {
        items(self.data.pointer(pointer))
    }

    fn condition(&self, kind: &str) -> Option<&Value> {
        self.items("/status/conditions")
            .iter()
            .find(|condition| condition["type"] == kind)
    }

    fn is_true(&self, kind: &str) -> bool {
        self.condition(kind)
            .is_some_and(|condition| condition["status"] == "True")
    }

    fn controller_reference(&self) -> Value {
        let mut reference = self.reference();
        let metadata = reference.as_object_mut().expect("built as an object");
        metadata.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "name" | "uid"));
        metadata.insert("controller".into(), true.into());
        metadata.insert("blockOwnerDeletion".into(), true.into());
        reference
    }

    fn reference(&self) -> Value {
        let types = self.types.clone().unwrap_or_default();
        json!({
            "apiVersion": types.api_version, "kind": types.kind,
            "namespace": self.metadata.namespace, "name": self.metadata.name,
            "uid": self.metadata.uid, "resourceVersion": self.metadata.resource_version,
        })
    }
}

/// The items of an array, or none.
pub(crate) fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Takes off what an API server keeps by itself when an object is replaced.
pub(crate) fn trim_managers(object: &mut DynamicObject) {
    object.metadata.managed_fields = None;
}

/// Leaves of an object's metadata what says which object it is, and whether it is being deleted.
pub(crate) fn trim_metadata(object: &mut DynamicObject) {
    let metadata = &mut object.metadata;
    metadata.managed_fields = None;
    metadata.annotations = None;
    metadata.labels = None;
    metadata.owner_references = None;
}

/// Enters a condition into an array of conditions; its transition time changes with its status only.
pub(crate) fn set_condition(conditions: &mut Value, mut condition: Value, now: &str) {
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let list = conditions.as_array_mut().expect("made an array above");
    match list
        .iter_mut()
        .find(|known| known["type"] == condition["type"])
    {
        Some(known) if known["status"] == condition["status"] => {
            condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
            condition["lastProbeTime"] = known["lastProbeTime"].clone();
            *known = condition;
        }
        Some(known) => *known = stamped(condition, now),
        None => list.push(stamped(condition, now)),
    }
}

fn stamped(mut condition: Value, now: &str) -> Value {
    condition["lastTransitionTime"] = now.into();
    condition["lastProbeTime"] = Value::Null;
    condition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_transition_time_while_its_status_stays() {
        let mut conditions = Value::Null;
        set_condition(
            &mut conditions,
            json!({"type": "Ready", "status": "False", "reason": "A"}),
            "1",
        );
        set_condition(
            &mut conditions,
            json!({"type": "Ready", "status": "False", "reason": "B"}),
            "2",
        );
        assert_eq!(conditions[0]["reason"], "B");
        assert_eq!(conditions[0]["lastTransitionTime"], "1");
        set_condition(
            &mut conditions,
            json!({"type": "Ready", "status": "True"}),
            "3",
        );
        assert_eq!(conditions[0]["lastTransitionTime"], "3");
        assert_eq!(conditions.as_array().map(Vec::len), Some(1));
    }
}
