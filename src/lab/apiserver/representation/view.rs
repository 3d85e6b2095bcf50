//! The form in which objects are answered: as they are, as a table for `kubectl get`, or their metadata only.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::apiserver::resources::object::{Object, at, text};
use crate::apiserver::resources::resource::{Column, Resource};

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Object,
    Table,
    Metadata,
}

impl View {
    /// The first form in an Accept header that this server can give; `None` if there is none.
    pub(crate) fn negotiate(accept: &str) -> Option<Self> {
        if accept.trim().is_empty() {
            return Some(Self::Object);
        }
        accept.split(',').find_map(view_of)
    }

    /// One object.
    pub(crate) fn one(self, resource: &Resource, json: &Bytes) -> Bytes {
        match self {
            Self::Object => json.clone(),
            Self::Table => {
                let value = parse(json);
                let version = value["metadata"]["resourceVersion"].clone();
                encode(&table(
                    resource,
                    &[value],
                    json!({"resourceVersion": version}),
                ))
            }
            Self::Metadata => encode(&metadata_only(&parse(json))),
        }
    }

    /// A list; `metadata` is its own.
    pub(crate) fn list(
        self,
        resource: &Resource,
        objects: &[std::sync::Arc<Object>],
        metadata: &Value,
    ) -> Bytes {
        match self {
            Self::Object => list_text(
                &resource.api_version(),
                &resource.list_kind(),
                objects,
                metadata,
            ),
            Self::Table => {
                let values: Vec<_> = objects.iter().map(|object| object.parse()).collect();
                encode(&table(resource, &values, metadata.clone()))
            }
            Self::Metadata => encode(&json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": objects.iter().map(|object| metadata_only(&object.parse())).collect::<Vec<_>>(),
            })),
        }
    }
}

fn view_of(range: &str) -> Option<View> {
    let mut parts = range.split(';').map(str::trim);
    if !matches!(parts.next()?, "application/json" | "application/*" | "*/*") {
        return None;
    }
    let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
    let parameter = |name| {
        parameters
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    };
    match (parameter("as"), parameter("v")) {
        (None, _) => Some(View::Object),
        (Some("Table"), Some("v1")) => Some(View::Table),
        (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("v1")) => {
            Some(View::Metadata)
        }
        _ => None,
    }
}

/// A list in chunks, each made when it is asked for: all at once, those of some thousand objects would be large.
pub(crate) fn list_chunks(
    resource: &Resource,
    objects: Vec<std::sync::Arc<Object>>,
    metadata: &Value,
) -> impl Iterator<Item = Bytes> + use<> {
    let head = list_head(&resource.api_version(), &resource.list_kind(), metadata);
    let items = objects.into_iter().enumerate().flat_map(|(index, object)| {
        let comma = (index > 0).then(|| Bytes::from_static(b","));
        comma.into_iter().chain([object.json()])
    });
    let end = Bytes::from_static(b"]}");
    [Bytes::from(head)].into_iter().chain(items).chain([end])
}

fn list_head(api_version: &str, kind: &str, metadata: &Value) -> String {
    format!(
        "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\"items\":["
    )
}

fn list_text(
    api_version: &str,
    kind: &str,
    objects: &[std::sync::Arc<Object>],
    metadata: &Value,
) -> Bytes {
    let size: usize = objects.iter().map(|object| object.size() + 1).sum();
    let mut out = Vec::with_capacity(size + 256);
    let head = list_head(api_version, kind, metadata);
    out.extend_from_slice(head.as_bytes());
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&object.json());
    }
    out.extend_from_slice(b"]}");
    out.into()
}

fn parse(json: &Bytes) -> Value {
    serde_json::from_slice(json).unwrap_or_default()
}

/// A JSON tree as text.
pub(crate) fn encode(value: &Value) -> Bytes {
    value.to_string().into()
}

fn metadata_only(value: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]})
}

fn table(resource: &Resource, values: &[Value], metadata: Value) -> Value {
    let columns = [("Name", "string", "metadata.name")]
        .into_iter()
        .chain(resource.columns.iter().copied());
    let columns: Vec<Column> = columns
        .chain([("Age", "string", "metadata.creationTimestamp")])
        .collect();
    let definitions: Vec<_> = columns.iter().map(definition).collect();
    let rows: Vec<_> = values.iter().map(|value| row(&columns, value)).collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

fn definition((name, kind, path): &Column) -> Value {
    let format = if *path == "metadata.name" { "name" } else { "" };
    json!({"name": name, "type": kind, "format": format, "description": path, "priority": 0})
}

fn row(columns: &[Column], value: &Value) -> Value {
    let cells: Vec<_> = columns
        .iter()
        .map(|(_, _, path)| cell(value, path))
        .collect();
    json!({"cells": cells, "object": metadata_only(value)})
}

fn cell(value: &Value, path: &str) -> String {
    let content = text(at(value, path));
    match path {
        "metadata.creationTimestamp" => age(&content),
        _ if content.is_empty() => "<none>".to_owned(),
        _ => content,
    }
}

/// How long ago, as kubectl shows it: the largest unit, with the next one while the number is small.
fn age(created: &str) -> String {
    let Ok(created) = created.parse::<Timestamp>() else {
        return "<unknown>".to_owned();
    };
    let seconds = (Timestamp::now().as_second() - created.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        120..10800 => format!("{minutes}m"),
        10800..28800 if minutes % 60 > 0 => format!("{hours}h{}m", minutes % 60),
        10800..172_800 => format!("{hours}h"),
        172_800..691_200 if hours % 24 > 0 => format!("{days}d{}h", hours % 24),
        _ => format!("{days}d"),
    }
}
