//! What only pods have: defaults, an unchangeable spec, binding and eviction.

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::Call;
use super::object::{Draft, items};
use super::registry::Resource;
use super::remove::{self, DeleteOptions};
use super::status::Failure;
use super::{ApiServer, meta};

/// What may not be changed, in Kubernetes's words; its list of the differences is left out.
const UNCHANGEABLE: &str = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Sets the defaults of a new pod, and the status that it starts with.
pub(crate) fn prepare(pod: &mut Value) {
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

/// Fails if an update changes of a pod's spec what cannot be changed.
pub(crate) fn check_update(resource: &Resource, old: &Value, new: &Value) -> Result<(), Failure> {
    if !resource.is_pods()
        || old["spec"] == new["spec"]
        || fixed_part(&old["spec"]) == fixed_part(&new["spec"])
    {
        return Ok(());
    }
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    Err(Failure::invalid(resource, name, "spec", UNCHANGEABLE))
}

fn fixed_part(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let Some(map) = spec.as_object_mut() else {
        return spec;
    };
    for field in [
        "activeDeadlineSeconds",
        "tolerations",
        "terminationGracePeriodSeconds",
        "schedulingGates",
    ] {
        map.remove(field);
    }
    for list in ["containers", "initContainers"] {
        for container in map
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            container["image"] = Value::Null;
        }
    }
    spec
}

/// Assigns a pod to the node that the Binding in the body names, and says so in the PodScheduled condition.
pub(crate) fn bind(server: &ApiServer, call: &Call) -> Result<Answer, Failure> {
    let binding = call.document()?;
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    if node.is_empty() {
        // As Kubernetes answers it.
        return Err(Failure::new(500, "", "target.name: Required value"));
    }
    loop {
        let current = server
            .store
            .get(call.id, &call.key())
            .ok_or_else(|| call.not_found())?;
        let mut pod = current.parse();
        check_bindable(call, &pod)?;
        pod["spec"]["nodeName"] = node.into();
        copy_annotations(&mut pod, &binding);
        set_scheduled(&mut pod);
        // Another writer in between has made progress, so this ends.
        if server
            .store
            .replace(call.id, &current, Draft::new(call.resource, &pod))
            .is_ok()
        {
            return Ok(Answer::value(201, &done()));
        }
    }
}

fn check_bindable(call: &Call, pod: &Value) -> Result<(), Failure> {
    let name = &call.route.name;
    let refuse = |why: &str| Err(Failure::binding_conflict(call.resource, name, why));
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return refuse(&format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        ));
    }
    match pod["spec"]["nodeName"].as_str().unwrap_or_default() {
        "" => Ok(()),
        node => refuse(&format!(
            "pod {name} is already assigned to node \"{node}\""
        )),
    }
}

fn copy_annotations(pod: &mut Value, binding: &Value) {
    let Some(given) = binding["metadata"]["annotations"].as_object() else {
        return;
    };
    let annotations = meta::of(pod)
        .entry("annotations")
        .or_insert_with(|| json!({}));
    for (name, value) in given {
        annotations[name] = value.clone();
    }
}

fn set_scheduled(pod: &mut Value) {
    if !pod["status"].is_object() {
        pod["status"] = json!({});
    }
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    let condition = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": meta::now(),
    });
    if let Value::Array(conditions) = &mut pod["status"]["conditions"] {
        conditions.retain(|known| known["type"] != "PodScheduled");
        conditions.push(condition);
    }
}

/// Deletes a pod, as the Eviction in the body says. There are no disruption budgets here.
pub(crate) fn evict(server: &ApiServer, call: &Call) -> Result<Answer, Failure> {
    let eviction = if call.body.is_empty() {
        Value::Null
    } else {
        call.document()?
    };
    let options = DeleteOptions::from_value(&eviction["deleteOptions"])?;
    remove::remove(&server.store, call.id, &call.key(), &options)?
        .ok_or_else(|| call.not_found())?;
    Ok(Answer::value(201, &done()))
}

fn done() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
}
