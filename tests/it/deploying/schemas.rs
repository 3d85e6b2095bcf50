//! JSON schemas for kubeconform, made of the OpenAPI documents of a running API server.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

/// Writes GROUP-VERSION-KIND.json for each of these kinds, in lower case; `get` asks the server for
/// a path.
pub fn write(folder: &Path, wanted: &BTreeSet<String>, get: impl Fn(&str) -> String) {
    let index: Value = serde_json::from_str(&get("/openapi/v3")).unwrap();
    let mut written = BTreeSet::new();
    for (path, document) in index["paths"].as_object().unwrap() {
        let is_of_group = path.starts_with("apis/") && path.matches('/').count() == 2;
        if !is_of_group && path != "api/v1" {
            continue;
        }
        let address = document["serverRelativeURL"].as_str().unwrap();
        let mut document: Value = serde_json::from_str(&get(address)).unwrap();
        let mut components = document["components"].take();
        close(&mut components);
        let schemas = components["schemas"].as_object().unwrap().clone();
        for (name, schema) in &schemas {
            for (kind, file) in kinds(schema) {
                if !wanted.contains(&kind) {
                    continue;
                }
                let schema = json!({
                    "$ref": format!("#/components/schemas/{name}"), "components": components,
                });
                fs::write(folder.join(file), schema.to_string()).unwrap();
                written.insert(kind);
            }
        }
    }
    assert_eq!(written, *wanted);
}

/// The kinds that a schema describes, and the names by which kubeconform looks for it.
fn kinds(schema: &Value) -> Vec<(String, String)> {
    let kinds = schema["x-kubernetes-group-version-kind"].as_array();
    let kinds = kinds.into_iter().flatten().map(|kind| {
        let of = |key: &str| kind[key].as_str().unwrap_or_default().to_lowercase();
        // The core group has no name; kubeconform takes what comes before the version then.
        let group = Some(of("group")).filter(|group| !group.is_empty());
        let group = group.unwrap_or_else(|| of("version"));
        let file = format!("{group}-{}-{}.json", of("version"), of("kind"));
        (of("kind"), file)
    });
    kinds.collect()
}

/// Objects whose fields are known have no others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let is_closed = fields.get("properties").is_some_and(Value::is_object)
                && !fields.contains_key("additionalProperties")
                && !fields.contains_key("x-kubernetes-preserve-unknown-fields");
            if is_closed {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
