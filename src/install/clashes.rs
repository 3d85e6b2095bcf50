//! Patches of others in `customizeComponents` that may not go together with ours.
//!
//! virt-operator applies patches in the order of the length of their text. While the KubeVirt object
//! stays as it is, it applies them again to what it has made before (KubeVirt 1.8 does), so that even
//! a patch before ours comes to find what ours has added.

use serde_json::Value;

use super::component::Component;

/// What ours adds to, as JSON pointers.
const ADDED_TO: [&str; 4] = [
    "/spec/template/metadata/annotations",
    "/spec/template/spec/containers",
    "/spec/template/spec/initContainers",
    "/spec/template/spec/volumes",
];
/// Lists in which ours puts items before others, whose numbers are then others.
const NUMBERED: [&str; 4] = ["initContainers", "env", "volumeMounts", "volumes"];

/// Why a place in a patch of somebody else does not go together with ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It names an item of a list by its number.
    Number,
    /// It comes after ours, and puts something else in place of what ours adds to.
    Replaced,
}

/// One such place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// What the patch's type is called.
    pub form: &'static str,
    /// The JSON pointer of the place.
    pub path: String,
    /// Why it is one.
    pub reason: Reason,
}

impl Clash {
    /// What is told before an attach.
    pub fn warning(&self, component: Component) -> String {
        let why = match self.reason {
            Reason::Number => {
                "names an item of a list by its number, which may be another one's beside a proxy"
            }
            Reason::Replaced => {
                "is applied after the proxy's, since it is longer, and replaces what that adds to"
            }
        };
        format!(
            "{}: a {} patch of customizeComponents at {} {why}: use a strategic merge patch",
            component.name(),
            self.form,
            self.path
        )
    }
}

/// All clashes with our patch for this component.
pub fn clashes(customization: Option<&Value>, component: Component, ours: &Value) -> Vec<Clash> {
    let ours = ours.to_string().len();
    let patches = customization.and_then(|all| all["patches"].as_array());
    let theirs = patches.into_iter().flatten().filter(|patch| {
        is_named(&patch["resourceType"], component.workload().kind())
            && is_named(&patch["resourceName"], component.name())
    });
    theirs.flat_map(|patch| clashes_of(patch, ours)).collect()
}

/// As virt-operator compares names.
fn is_named(pattern: &Value, name: &str) -> bool {
    let pattern = pattern.as_str().unwrap_or_default();
    pattern == "*" || pattern.eq_ignore_ascii_case(name)
}

fn clashes_of(patch: &Value, ours: usize) -> Vec<Clash> {
    let text = patch["patch"].as_str().unwrap_or_default();
    let Ok(content) = serde_json::from_str::<Value>(text) else {
        return Vec::new();
    };
    let mut found = match patch["type"].as_str() {
        Some("json") => of_operations(&content),
        Some("merge") => of_merge(&content),
        // A strategic merge finds items by their names.
        _ => Vec::new(),
    };
    // Of two of one length, that is last which is last in the list.
    let is_late = text.len() >= ours;
    found.retain(|clash| is_late || clash.reason == Reason::Number);
    found
}

fn of_operations(operations: &Value) -> Vec<Clash> {
    let operations = operations.as_array().into_iter().flatten();
    let paths = operations.flat_map(|operation| {
        let paths = ["path", "from"].map(|key| operation[key].as_str());
        paths.into_iter().flatten()
    });
    let found = paths.filter_map(|path| {
        let reason = if is_added_to(path) {
            Reason::Replaced
        } else if is_by_number(path) {
            Reason::Number
        } else {
            return None;
        };
        let (form, path) = ("JSON", path.to_owned());
        Some(Clash { form, path, reason })
    });
    found.collect()
}

/// A merge patch has lists as a whole; maps it merges, unless it takes them away.
fn of_merge(content: &Value) -> Vec<Clash> {
    let replaced = ADDED_TO.into_iter().filter(|path| {
        let value = content.pointer(path);
        value.is_some_and(|value| !value.is_object())
    });
    let found = replaced.map(|path| Clash {
        form: "merge",
        path: path.to_owned(),
        reason: Reason::Replaced,
    });
    found.collect()
}

/// Whether this is something that ours adds to, or what that is in.
fn is_added_to(path: &str) -> bool {
    ADDED_TO.iter().any(|added| {
        let rest = added.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Whether a JSON pointer names a place by its number in a list that ours puts items into.
fn is_by_number(path: &str) -> bool {
    let mut before = "";
    path.split('/').any(|part| {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let found = is_number && NUMBERED.contains(&before);
        before = part;
        found
    })
}
