//! What is stored before anybody asks: the first namespaces, and KubeVirt's CustomResourceDefinitions.

use serde_json::{Value, json};

use super::store::Store;
use crate::apiserver::resources::defaults::{name_labels, prepare_new};
use crate::apiserver::resources::meta;
use crate::apiserver::resources::object::Draft;
use crate::apiserver::resources::registry::{self, RESOURCES};
use crate::apiserver::resources::resource::{Origin, Resource};
use crate::apiserver::status::qualified;

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
