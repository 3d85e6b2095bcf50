//! What kube-apiserver does for its own types only: defaults, namespaces, access reviews.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::access::UserInfo;
use super::answer::Answer;
use super::object::Draft;
use super::registry::{self, Origin, RESOURCES, Resource};
use super::route::Route;
use super::status::{Failure, qualified};
use super::store::Store;
use super::{ApiServer, call, meta, pods, protobuf};

const FIRST_NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Stores what every cluster has.
pub(crate) fn populate(store: &Store) {
    let namespaces = registry::namespaces();
    for name in FIRST_NAMESPACES {
        store_first(store, namespaces, json!({"metadata": {"name": name}}));
    }
    let crds = registry::find("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    let definitions = crds.expect("the table holds customresourcedefinitions");
    for resource in RESOURCES
        .iter()
        .filter(|resource| resource.origin == Origin::Custom)
    {
        store_first(store, definitions, definition(resource));
    }
}

fn store_first(store: &Store, id: usize, mut value: Value) {
    let resource = RESOURCES[id];
    let status = value["status"].take();
    meta::initialise(resource, &mut value, "");
    prepare_new(resource, &mut value);
    name_labels(resource, &mut value);
    if status.is_object() {
        value["status"] = status;
    }
    store
        .insert(id, Draft::new(resource, &value))
        .expect("the store is empty before");
}

fn definition(resource: &Resource) -> Value {
    let mut version = json!({
        "name": resource.version, "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
    });
    if resource.status {
        version["subresources"] = json!({"status": {}});
    }
    let names = json!({
        "plural": resource.plural, "singular": resource.singular, "kind": resource.kind,
        "listKind": resource.list_kind(), "shortNames": resource.short_names, "categories": ["all"],
    });
    let scope = if resource.namespaced {
        "Namespaced"
    } else {
        "Cluster"
    };
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": kind, "lastTransitionTime": meta::now()});
    json!({
        "metadata": {"name": qualified(resource.group, resource.plural)},
        "spec": {"group": resource.group, "names": names, "scope": scope, "versions": [version]},
        "status": {
            "acceptedNames": names, "storedVersions": [resource.version],
            "conditions": [condition("NamesAccepted"), condition("Established")],
        },
    })
}

/// Sets what the type's owner in kube-apiserver sets at creation. A status that is a subresource is not taken from the
/// client; only a kubelet registers its node together with a status.
pub(crate) fn prepare_new(resource: &Resource, value: &mut Value) {
    if resource.status
        && resource.plural != "nodes"
        && let Some(map) = value.as_object_mut()
    {
        map.remove("status");
    }
    match (resource.group, resource.plural) {
        ("", "pods") => pods::prepare(value),
        ("", "namespaces") => {
            value["spec"] = json!({"finalizers": ["kubernetes"]});
            value["status"] = json!({"phase": "Active"});
        }
        ("", "secrets") => prepare_secret(value),
        _ => {}
    }
}

/// Labels that carry the name.
pub(crate) fn name_labels(resource: &Resource, value: &mut Value) {
    if resource.is_namespaces() {
        let name = value["metadata"]["name"].clone();
        let labels = meta::of(value).entry("labels").or_insert_with(|| json!({}));
        labels["kubernetes.io/metadata.name"] = name;
    }
}

/// `stringData` is written as `data`.
fn prepare_secret(value: &mut Value) {
    let Some(map) = value.as_object_mut() else {
        return;
    };
    map.entry("type").or_insert_with(|| "Opaque".into());
    let Some(Value::Object(plain)) = map.remove("stringData") else {
        return;
    };
    let data = map.entry("data").or_insert_with(|| json!({}));
    for (name, text) in plain {
        data[name] = STANDARD.encode(text.as_str().unwrap_or_default()).into();
    }
}

pub(crate) fn no_namespace(namespace: &str) -> Failure {
    Failure::not_found(RESOURCES[registry::namespaces()], namespace)
}

pub(crate) fn namespace_terminating(resource: &Resource, name: &str, namespace: &str) -> Failure {
    let what = format!("{} \"{name}\"", qualified(resource.group, resource.plural));
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let details = json!({
        "name": name, "kind": resource.plural, "group": resource.group,
        "causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace",
            "message": format!("namespace {namespace} is being terminated")}],
    });
    Failure {
        details,
        ..Failure::forbidden(&what, &why)
    }
}

/// Answers the reviews of `authorization.k8s.io`; every other resource that the registry does not know is not found.
pub(crate) fn review(
    server: &ApiServer,
    route: &Route,
    user: &UserInfo,
    content_type: &str,
    body: &[u8],
) -> Result<Answer, Failure> {
    let reviews = [
        "selfsubjectaccessreviews",
        "subjectaccessreviews",
        "selfsubjectrulesreviews",
    ];
    let group = (route.group.as_str(), route.version.as_str());
    if group != ("authorization.k8s.io", "v1") || !reviews.contains(&route.resource.as_str()) {
        return Err(Failure::no_such_path());
    }
    if route.verb != "create" {
        return Err(Failure::method_not_allowed());
    }
    let mut value = match content_type {
        protobuf::MEDIA_TYPE => call::from_protobuf(body)?,
        _ => {
            serde_json::from_slice(body).map_err(|error| Failure::bad_request(error.to_string()))?
        }
    };
    if !value.is_object() {
        return Err(Failure::bad_request("the body is not an object"));
    }
    value["status"] = match route.resource.as_str() {
        "selfsubjectrulesreviews" => rules(),
        "subjectaccessreviews" => decision(server, &subject(&value["spec"]), &value["spec"]),
        _ => decision(server, user, &value["spec"]),
    };
    Ok(Answer::value(201, &value))
}

fn subject(spec: &Value) -> UserInfo {
    let groups = super::object::items(&spec["groups"]);
    UserInfo {
        name: super::object::text(&spec["user"]),
        groups: groups.iter().map(super::object::text).collect(),
    }
}

fn decision(server: &ApiServer, user: &UserInfo, spec: &Value) -> Value {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let text = super::object::text;
    let allowed = if resource.is_object() {
        server.access.allows(
            user,
            &text(&resource["verb"]),
            &text(&resource["group"]),
            &text(&resource["resource"]),
        )
    } else {
        server.access.allows(user, &text(&path["verb"]), "", "")
    };
    json!({"allowed": allowed})
}

fn rules() -> Value {
    json!({
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "incomplete": false,
    })
}
