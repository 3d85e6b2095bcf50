//! As much of OpenAPI v3 as kubectl needs before it writes: that every resource takes `fieldValidation`, so that it
//! leaves validation to the server. There are no schemas.

use serde_json::{Map, Value, json};

use crate::apiserver::resources::registry::{self, RESOURCES};
use crate::apiserver::resources::resource::Resource;
use crate::apiserver::status::Failure;

/// Answers `/openapi/v3` (no more parts) or the document of one group and version.
pub(crate) fn answer(parts: &[&str]) -> Result<Value, Failure> {
    match parts {
        [] => Ok(index()),
        ["api", version] => document("", version),
        ["apis", group, version] => document(group, version),
        _ => Err(Failure::no_such_path()),
    }
}

fn index() -> Value {
    let documents = registry::groups()
        .into_iter()
        .flat_map(|(group, versions)| {
            versions.into_iter().map(move |version| {
                let path = prefix(group, version);
                let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
                (path, url)
            })
        });
    json!({"paths": documents.collect::<Map<_, _>>()})
}

fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

fn document(group: &str, version: &str) -> Result<Value, Failure> {
    if !registry::groups()
        .iter()
        .any(|(known, versions)| *known == group && versions.contains(&version))
    {
        return Err(Failure::no_such_path());
    }
    let resources = RESOURCES
        .iter()
        .filter(|resource| resource.group == group && resource.version == version);
    let paths: Map<_, _> = resources
        .map(|resource| (path(resource), operations(resource)))
        .collect();
    Ok(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": version}, "paths": paths,
        "components": {"schemas": {}},
    }))
}

fn path(resource: &Resource) -> String {
    let scope = if resource.namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    format!(
        "/{}/{scope}{}/{{name}}",
        prefix(resource.group, resource.version),
        resource.plural
    )
}

fn operations(resource: &Resource) -> Value {
    let parameter = json!({"name": "fieldValidation", "in": "query", "schema": {"type": "string"}});
    json!({"patch": {
        "parameters": [parameter],
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind":
            {"group": resource.group, "version": resource.version, "kind": resource.kind},
    }})
}
