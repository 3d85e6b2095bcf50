//! Strategic merge patch for Kubernetes's own types: a merge patch that merges certain lists by a key. The keys are
//! known by the name of the list, which tells enough for the types of this server.

use serde_json::{Map, Value};

use crate::apiserver::resources::object::items;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList/";

/// How a list is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    /// Elements are objects; those with the same value of one of these keys (the first that the element has) are merged.
    By(&'static [&'static str]),
    /// Elements are scalars; new ones are appended.
    Set,
    Replace,
}

/// `old` with `patch` merged into it.
pub(crate) fn merged(old: &Value, patch: &Value) -> Value {
    let mut value = old.clone();
    merge(&mut value, patch);
    value
}

fn strategy(list: &str) -> Strategy {
    match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "secrets"
        | "resourceClaims" => Strategy::By(&["name"]),
        "volumeMounts" => Strategy::By(&["mountPath"]),
        "volumeDevices" => Strategy::By(&["devicePath"]),
        "ports" => Strategy::By(&["containerPort", "port"]),
        "conditions" | "addresses" => Strategy::By(&["type"]),
        "ownerReferences" => Strategy::By(&["uid"]),
        "hostAliases" | "podIPs" => Strategy::By(&["ip"]),
        "topologySpreadConstraints" => Strategy::By(&["topologyKey"]),
        "finalizers" | "podCIDRs" => Strategy::Set,
        _ => Strategy::Replace,
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if changes
        .get(DIRECTIVE)
        .is_some_and(|directive| directive == "replace")
        || !target.is_object()
    {
        *target = Value::Object(Map::new());
    }
    let Value::Object(map) = target else { return };
    if let Some(Value::Array(kept)) = changes.get(RETAIN_KEYS) {
        map.retain(|name, _| kept.iter().any(|kept| kept == name));
    }
    for (name, change) in changes {
        let before = map
            .get(name)
            .map(|known| items(known).to_vec())
            .unwrap_or_default();
        merge_member(map, name, change);
        let order = changes
            .get(&format!("{ELEMENT_ORDER}{name}"))
            .unwrap_or(change);
        if let (Some(Value::Array(list)), Value::Array(order)) = (map.get_mut(name), order) {
            sort(list, &before, order, strategy(name));
        }
    }
}

fn merge_member(map: &mut Map<String, Value>, name: &str, change: &Value) {
    if let Some(list) = name.strip_prefix(DELETE_PRIMITIVES) {
        if let (Some(Value::Array(known)), Value::Array(gone)) = (map.get_mut(list), change) {
            known.retain(|item| !gone.contains(item));
        }
        return;
    }
    // The other directives are read elsewhere.
    if name.starts_with('$') {
        return;
    }
    let deleted = change.is_null() || change[DIRECTIVE] == "delete";
    match (map.get_mut(name), change) {
        _ if deleted => {
            map.remove(name);
        }
        (Some(Value::Array(known)), Value::Array(changes)) => {
            merge_list(known, changes, strategy(name))
        }
        (Some(known), _) => merge(known, change),
        (None, Value::Array(changes)) => {
            let mut fresh = vec![];
            merge_list(&mut fresh, changes, strategy(name));
            map.insert(name.to_owned(), fresh.into());
        }
        (None, _) => {
            let mut fresh = Value::Null;
            merge(&mut fresh, change);
            map.insert(name.to_owned(), fresh);
        }
    }
}

fn merge_list(known: &mut Vec<Value>, changes: &[Value], strategy: Strategy) {
    let replaced = changes.iter().any(|change| change[DIRECTIVE] == "replace");
    if replaced || strategy == Strategy::Replace {
        known.clear();
    }
    for change in changes
        .iter()
        .filter(|change| change[DIRECTIVE] != "replace")
    {
        match strategy {
            Strategy::By(keys) => merge_element(known, change, keys),
            Strategy::Set if known.contains(change) => {}
            Strategy::Set | Strategy::Replace => known.push(change.clone()),
        }
    }
}

/// Puts a merged list into order: elements of the patch as `order` has them, the others where they stood before among
/// the known ones; a new element comes before what is left of them.
fn sort(list: &mut Vec<Value>, before: &[Value], order: &[Value], strategy: Strategy) {
    if strategy == Strategy::Replace {
        return;
    }
    let position = |among: &[Value], element: &Value| {
        among
            .iter()
            .position(|known| same(known, element, strategy))
    };
    let (mut patched, others): (Vec<_>, Vec<_>) = list
        .drain(..)
        .partition(|element| position(order, element).is_some());
    patched.sort_by_key(|element| position(order, element));
    let mut others = others.into_iter().peekable();
    for element in patched {
        let bound = position(before, &element);
        while let Some(other) = others.next_if(|other| position(before, other) < bound) {
            list.push(other);
        }
        list.push(element);
    }
    list.extend(others);
}

/// Whether two elements stand for the same.
fn same(one: &Value, other: &Value, strategy: Strategy) -> bool {
    match strategy {
        Strategy::By(keys) => {
            let key = keys.iter().find(|key| !other[**key].is_null());
            key.is_some_and(|key| one[*key] == other[*key])
        }
        Strategy::Set | Strategy::Replace => one == other,
    }
}

fn merge_element(known: &mut Vec<Value>, change: &Value, keys: &'static [&'static str]) {
    let same = |element: &Value| same(element, change, Strategy::By(keys));
    if change[DIRECTIVE] == "delete" {
        known.retain(|element| !same(element));
        return;
    }
    match known.iter_mut().find(|element| same(element)) {
        Some(element) => merge(element, change),
        None => {
            let mut fresh = Value::Null;
            merge(&mut fresh, change);
            known.push(fresh);
        }
    }
}
