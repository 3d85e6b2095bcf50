//! `metadata` as the server keeps it: identity, times, generation, managedFields.

use jiff::Timestamp;
use rand::Rng;
use serde_json::{Map, Value, json};

use super::resource::{Origin, Resource};

/// Kubernetes's alphabet of generated names: no vowels and nothing that looks like them.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The longest prefix that `generateName` may contribute.
const MAX_PREFIX: usize = 58;

/// Who writes, as managedFields name it.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    pub(crate) name: String,
    /// `Update` or `Apply`.
    pub(crate) operation: &'static str,
    pub(crate) subresource: String,
}

/// Now, to the second, as `creationTimestamp` has it.
pub(crate) fn now() -> String {
    in_seconds(0)
}

/// That many seconds from now.
pub(crate) fn in_seconds(seconds: i64) -> String {
    let seconds = Timestamp::now().as_second().saturating_add(seconds);
    Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::MAX)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// A random UUID (version 4).
pub(crate) fn new_uid() -> String {
    let bits =
        (rand::rng().random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

/// `prefix` with five random characters.
pub(crate) fn generated_name(prefix: &str) -> String {
    let mut rng = rand::rng();
    let kept = prefix.chars().take(MAX_PREFIX);
    kept.chain((0..5).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])))
        .collect()
}

/// `metadata` as a map to change; made if it is missing.
pub(crate) fn of(value: &mut Value) -> &mut Map<String, Value> {
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    value["metadata"]
        .as_object_mut()
        .expect("was just made sure of")
}

/// Makes `metadata.<field>` what it is in `original`, absent if it is absent there.
pub(crate) fn restore(value: &mut Value, original: &Value, field: &str) {
    match &original["metadata"][field] {
        Value::Null => of(value).remove(field),
        kept => of(value).insert(field.to_owned(), kept.clone()),
    };
}

/// Removes what a typed server would not write in metadata: null, empty lists and maps, and `selfLink`.
pub(crate) fn drop_empty(value: &mut Value) {
    of(value).retain(|name, member| match member {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => name != "selfLink",
    });
}

/// Removes members that are null: a typed server would not have them.
pub(crate) fn prune_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.values_mut().for_each(prune_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}

/// Fills what the server decides at creation, the name excepted.
pub(crate) fn initialise(resource: &Resource, value: &mut Value, namespace: &str) {
    drop_empty(value);
    let metadata = of(value);
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "resourceVersion",
        "managedFields",
    ] {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), new_uid().into());
    metadata.insert("creationTimestamp".into(), now().into());
    if resource.namespaced {
        metadata.insert("namespace".into(), namespace.into());
    } else {
        metadata.remove("namespace");
    }
    if resource.generation {
        metadata.insert("generation".into(), 1.into());
    } else {
        metadata.remove("generation");
    }
    value["apiVersion"] = resource.api_version().into();
    value["kind"] = resource.kind.into();
}

/// Bumps the generation if what counts for it has changed.
pub(crate) fn bump_generation(resource: &Resource, old: &Value, new: &mut Value) {
    if resource.generation && desired(resource, old) != desired(resource, new) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        of(new).insert("generation".into(), generation.into());
    }
}

/// The part of an object that the generation counts: `spec` of Kubernetes's own types, everything but metadata (and
/// status, if that is a subresource) of custom ones.
fn desired<'a>(resource: &Resource, value: &'a Value) -> Vec<(&'a String, &'a Value)> {
    let members = value.as_object().into_iter().flatten();
    let counts = |name: &str| match resource.origin {
        Origin::Native => name == "spec",
        Origin::Custom => name != "metadata" && !(resource.status && name == "status"),
    };
    members.filter(|(name, _)| counts(name)).collect()
}

/// Enters the writer into managedFields: one entry for each manager, operation and subresource. Which fields it wrote
/// is not kept.
pub(crate) fn enter_manager(resource: &Resource, value: &mut Value, manager: &Manager) {
    let mut entry = json!({
        "manager": manager.name, "operation": manager.operation, "apiVersion": resource.api_version(),
        "time": now(), "fieldsType": "FieldsV1", "fieldsV1": {},
    });
    if !manager.subresource.is_empty() {
        entry["subresource"] = manager.subresource.as_str().into();
    }
    let same = |known: &Value| {
        ["manager", "operation", "subresource"]
            .iter()
            .all(|part| known[part] == entry[part])
    };
    let fields = of(value)
        .entry("managedFields")
        .or_insert_with(|| json!([]));
    if let Value::Array(entries) = fields {
        match entries.iter_mut().find(|known| same(known)) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        }
    }
}

/// Why a name is none; `None` if it is one.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 {
        return Some(format!(
            "Invalid value: \"{name}\": must be no more than 253 bytes"
        ));
    }
    if name.split('.').all(label) {
        return None;
    }
    Some(format!(
        "Invalid value: \"{name}\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
         '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
         validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    ))
}
