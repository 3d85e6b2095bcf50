//! Stored objects: the JSON text as it is sent, and the few facts that selectors and the garbage collector need.
//! The text is kept, compressed, instead of the tree because a tree takes some hundred times the memory, and the history
//! holds thousands.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::resource::Resource;
use crate::packing::{Packed, Packer};

/// Where an object stands in its resource type; the namespace of a cluster-scoped object is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// An owner reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// Whether the owner waits for this dependent in a foreground deletion.
    pub(crate) blocks: bool,
}

impl Owner {
    fn read(reference: &Value) -> Self {
        Self {
            api_version: text(&reference["apiVersion"]),
            kind: text(&reference["kind"]),
            name: text(&reference["name"]),
            uid: text(&reference["uid"]),
            blocks: reference["blockOwnerDeletion"] == true,
        }
    }
}

/// Short texts in one allocation: most objects have several, and one for each would take more than they do.
#[derive(Debug, PartialEq, Eq)]
struct Texts {
    joined: Box<str>,
    /// Where each ends.
    ends: Box<[usize]>,
}

impl Texts {
    fn of(texts: impl Iterator<Item = String>) -> Self {
        let mut joined = String::new();
        let ends = texts.map(|text| {
            joined.push_str(&text);
            joined.len()
        });
        Self {
            ends: ends.collect(),
            joined: joined.into(),
        }
    }

    fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.joined[start..end])
    }
}

/// What is read from an object without parsing it. Most changes leave it as it was, so that versions share it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) key: Key,
    pub(crate) uid: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// What selectable fields the resource has, and their values.
    field_names: &'static [&'static str],
    fields: Texts,
    pub(crate) owners: Vec<Owner>,
    pub(crate) finalizers: Vec<String>,
    pub(crate) deleting: bool,
}

impl Facts {
    fn read(resource: &Resource, value: &Value) -> Self {
        let metadata = &value["metadata"];
        Self {
            key: Key {
                namespace: text(&metadata["namespace"]),
                name: text(&metadata["name"]),
            },
            uid: text(&metadata["uid"]),
            labels: labels(&metadata["labels"]),
            field_names: resource.fields,
            fields: Texts::of(resource.fields.iter().map(|name| field_value(value, name))),
            owners: items(&metadata["ownerReferences"])
                .iter()
                .map(Owner::read)
                .collect(),
            finalizers: items(&metadata["finalizers"]).iter().map(text).collect(),
            deleting: metadata["deletionTimestamp"].is_string(),
        }
    }

    /// The value of a selectable field, empty if the object has none.
    pub(crate) fn field(&self, name: &str) -> &str {
        match name {
            "metadata.name" => &self.key.name,
            "metadata.namespace" => &self.key.namespace,
            _ => {
                let place = self.field_names.iter().position(|known| *known == name);
                let value = place.and_then(|place| self.fields.get(place));
                value.unwrap_or_default()
            }
        }
    }
}

/// One version of an object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) version: u64,
    text: Packed,
    pub(crate) facts: Arc<Facts>,
}

impl Object {
    /// As it is sent.
    pub(crate) fn json(&self) -> Bytes {
        self.text.unpack().into()
    }

    /// Bytes of what is sent.
    pub(crate) const fn size(&self) -> usize {
        self.text.len()
    }

    /// Bytes that its text takes in memory.
    pub(crate) const fn stored_size(&self) -> usize {
        self.text.packed_len()
    }

    pub(crate) fn parse(&self) -> Value {
        serde_json::from_slice(&self.text.unpack()).expect("stored text was written by serde_json")
    }
}

/// An object on its way into the store: everything but its resourceVersion, for which the text has a hole, so that
/// under the store's lock it is compressed only.
#[derive(Debug)]
pub(crate) struct Draft {
    facts: Arc<Facts>,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Draft {
    /// `value` must be an object with a `metadata` object.
    pub(crate) fn new(resource: &Resource, value: &Value) -> Self {
        let (mut before, mut after) = (vec![], vec![]);
        let empty = serde_json::Map::new();
        before.extend_from_slice(b"{\"metadata\":{");
        for (name, part) in value["metadata"].as_object().unwrap_or(&empty) {
            if name != "resourceVersion" {
                write_member(&mut before, name, part);
                before.push(b',');
            }
        }
        before.extend_from_slice(b"\"resourceVersion\":\"");
        after.extend_from_slice(b"\"}");
        for (name, part) in value.as_object().unwrap_or(&empty) {
            if name != "metadata" {
                after.push(b',');
                write_member(&mut after, name, part);
            }
        }
        after.push(b'}');
        Self {
            facts: Arc::new(Facts::read(resource, value)),
            before,
            after,
        }
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The same, with the facts of an earlier version if they are the same.
    pub(crate) fn sharing_facts_with(mut self, earlier: &Object) -> Self {
        if self.facts == earlier.facts {
            self.facts = earlier.facts.clone();
        }
        self
    }

    /// The object under the version that the store gave it; `packer` is that of its resource type.
    pub(crate) fn seal(self, version: u64, packer: &mut Packer) -> Object {
        let mut text = self.before;
        text.extend_from_slice(version.to_string().as_bytes());
        text.extend_from_slice(&self.after);
        Object {
            version,
            text: packer.pack(&text),
            facts: self.facts,
        }
    }
}

fn write_member(out: &mut Vec<u8>, name: &str, value: &Value) {
    let writes = "a JSON tree is written to memory without an error";
    serde_json::to_writer(&mut *out, name).expect(writes);
    out.push(b':');
    serde_json::to_writer(&mut *out, value).expect(writes);
}

/// A scalar as text; empty for null, lists and objects.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _ => String::new(),
    }
}

/// The elements of a list; none for anything else.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    let labels = value.as_object().into_iter().flatten();
    labels
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

fn field_value(value: &Value, field: &str) -> String {
    match field {
        "source" if value["source"]["component"].is_null() => text(&value["reportingComponent"]),
        "source" => text(&value["source"]["component"]),
        "spec.unschedulable" | "spec.hostNetwork" if at(value, field).is_null() => {
            "false".to_owned()
        }
        _ => text(at(value, field)),
    }
}

/// The value at a dotted path: `spec.nodeName`, `list[0].x`, `status.conditions[Ready].status` (by the element's type).
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, step| {
        match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
            None => &value[step],
            Some((name, index)) => match index.parse::<usize>() {
                Ok(index) => &value[name][index],
                Err(_) => items(&value[name])
                    .iter()
                    .find(|item| item["type"] == index)
                    .unwrap_or(&Value::Null),
            },
        }
    })
}
