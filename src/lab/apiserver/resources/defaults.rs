//! What kube-apiserver sets in new objects of its own types.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::meta;
use super::object::items;
use super::resource::Resource;

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
        ("", "pods") => prepare_pod(value),
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

/// Sets the defaults of a new pod, and the status that it starts with.
fn prepare_pod(pod: &mut Value) {
    if !pod["spec"].is_object() {
        pod["spec"] = json!({});
    }
    set_defaults(
        &mut pod["spec"],
        json!({
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
            "terminationGracePeriodSeconds": 30, "securityContext": {}, "serviceAccountName": "default",
            "enableServiceLinks": true, "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
        }),
    );
    for list in ["containers", "initContainers"] {
        for container in pod["spec"]
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            prepare_container(container);
        }
    }
    add_tolerations(&mut pod["spec"]);
    pod["status"] = json!({"phase": "Pending", "qosClass": quality(&pod["spec"])});
}

fn set_defaults(value: &mut Value, defaults: Value) {
    let (Value::Object(map), Value::Object(defaults)) = (value, defaults) else {
        return;
    };
    for (name, default) in defaults {
        map.entry(name).or_insert(default);
    }
}

fn prepare_container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let tag = image
        .rsplit('/')
        .next()
        .and_then(|name| name.split_once(':'))
        .map_or("latest", |(_, tag)| tag);
    let pull = if tag == "latest" {
        "Always"
    } else {
        "IfNotPresent"
    };
    set_defaults(
        container,
        json!({
            "resources": {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "imagePullPolicy": pull,
        }),
    );
}

/// Every pod bears a node's failure for five minutes, unless it says otherwise.
fn add_tolerations(spec: &mut Value) {
    let mut tolerations = items(&spec["tolerations"]).to_vec();
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let covers =
            |known: &Value| known["key"] == key || known["key"].as_str().unwrap_or("").is_empty();
        if !tolerations.iter().any(covers) {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
            }));
        }
    }
    spec["tolerations"] = tolerations.into();
}

/// Guaranteed if each container's limits are its requests, BestEffort if there are none at all.
fn quality(spec: &Value) -> &'static str {
    let containers = items(&spec["containers"]);
    let empty = |container: &Value| {
        ["requests", "limits"].iter().all(|part| {
            container["resources"][part]
                .as_object()
                .is_none_or(Map::is_empty)
        })
    };
    let guaranteed = |container: &Value| {
        ["cpu", "memory"].iter().all(|name| {
            let [request, limit] =
                ["requests", "limits"].map(|part| &container["resources"][part][name]);
            !limit.is_null() && (request.is_null() || request == limit)
        })
    };
    if containers.iter().all(empty) {
        "BestEffort"
    } else if containers.iter().all(guaranteed) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}
