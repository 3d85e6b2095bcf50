//! `spec.customizeComponents` of a KubeVirt object: entries of ours come and go, all others stay
//! as they are, in their order.

use serde_json::{Map, Value, json};

use super::{
    component::Component,
    marks::{COMPONENT_ANNOTATION, KUBECONFIG},
    patch::Mode,
};

/// The flag of [`Mode::Kubeconfig`].
const FLAG: &str = "kubeconfig";

/// What the KubeVirt object holds of ours for one component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The entry of `patches`, if there is one.
    pub patch: Option<Value>,
    /// Whether the component's flags name our kubeconfig.
    pub flag: bool,
}

impl Entry {
    /// The entry for a strategic merge patch.
    pub fn new(component: Component, patch: &Value, mode: Mode) -> Self {
        Self {
            patch: Some(json!({
                "resourceType": component.workload().kind(),
                "resourceName": component.name(),
                "type": "strategic",
                "patch": patch.to_string(),
            })),
            flag: mode == Mode::Kubeconfig,
        }
    }

    /// Whether there is anything.
    pub fn is_empty(&self) -> bool {
        self.patch.is_none() && !self.flag
    }

    /// The strategic merge patch itself.
    pub fn content(&self) -> Option<Value> {
        content(self.patch.as_ref()?)
    }
}

/// What is there of ours for a component.
pub fn entry(customization: Option<&Value>, component: Component) -> Entry {
    let Some(customization) = customization else {
        return Entry::default();
    };
    let patches = customization["patches"].as_array();
    let patch = patches.and_then(|patches| patches.iter().find(|patch| is_for(patch, component)));
    let flag = component
        .flags()
        .is_some_and(|section| customization["flags"][section][FLAG] == KUBECONFIG);
    Entry {
        patch: patch.cloned(),
        flag,
    }
}

/// The same with this entry for the component, where an old one was or at the end. An empty entry
/// takes the old one away; `customizeComponents` itself goes with its last content.
pub fn with(customization: Option<&Value>, component: Component, entry: &Entry) -> Option<Value> {
    let mut all = customization.cloned().unwrap_or_else(|| json!({}));
    let mut patches: Vec<Value> = all["patches"].as_array().cloned().unwrap_or_default();
    let at = patches.iter().position(|patch| is_for(patch, component));
    patches.retain(|patch| !is_for(patch, component));
    if let Some(patch) = &entry.patch {
        let at = at.unwrap_or(patches.len()).min(patches.len());
        patches.insert(at, patch.clone());
    }
    set(&mut all, "patches", json!(patches));
    if let Some(section) = component.flags() {
        let mut flags = all["flags"].clone();
        let mut own = flags[section].clone();
        if entry.flag {
            set(&mut own, FLAG, json!(KUBECONFIG));
        } else if own[FLAG] == KUBECONFIG {
            set(&mut own, FLAG, Value::Null);
        }
        set(&mut flags, section, own);
        set(&mut all, "flags", flags);
    }
    (!is_void(&all)).then_some(all)
}

/// What was found before the first attach, if nothing else has changed since; otherwise what is
/// left now. The two differ only in empty lists and maps.
pub fn restored(left: Option<Value>, found: Option<&Value>) -> Option<Value> {
    let bare = |value: Option<&Value>| value.map(without_void).filter(|value| !is_void(value));
    if bare(left.as_ref()) == bare(found) {
        found.cloned()
    } else {
        left
    }
}

/// The value of a `kubeconfig` flag that is not ours.
pub fn foreign_kubeconfig(customization: Option<&Value>, component: Component) -> Option<&str> {
    let flag = customization?["flags"][component.flags()?][FLAG].as_str()?;
    (flag != KUBECONFIG).then_some(flag)
}

/// Exactly ours: the mark is in what the patch does, not in how it is written.
fn is_for(patch: &Value, component: Component) -> bool {
    content(patch).is_some_and(|content| {
        let annotations = &content["spec"]["template"]["metadata"]["annotations"];
        annotations[COMPONENT_ANNOTATION] == component.name()
    })
}

fn content(patch: &Value) -> Option<Value> {
    serde_json::from_str(patch["patch"].as_str()?).ok()
}

/// Sets a key, or takes it away where the value has nothing in it.
fn set(object: &mut Value, key: &str, value: Value) {
    if !object.is_object() {
        if is_void(&value) {
            return;
        }
        *object = Value::Object(Map::new());
    }
    if let Value::Object(object) = object {
        if is_void(&value) {
            object.remove(key);
        } else {
            object.insert(key.to_owned(), value);
        }
    }
}

fn is_void(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        _ => false,
    }
}

/// Without empty lists and maps at the levels that `with` touches.
fn without_void(customization: &Value) -> Value {
    let mut bare = customization.clone();
    if let Value::Object(all) = &mut bare {
        if let Some(Value::Object(flags)) = all.get_mut("flags") {
            flags.retain(|_, own| !is_void(own));
        }
        all.retain(|_, value| !is_void(value));
    }
    bare
}
