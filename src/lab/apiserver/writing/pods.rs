//! What only pods have: an unchangeable spec, binding and eviction.

use serde_json::{Value, json};

use crate::apiserver::deleting::remove::{self, DeleteOptions};
use crate::apiserver::representation::answer::Answer;
use crate::apiserver::requests::call::Call;
use crate::apiserver::resources::meta;
use crate::apiserver::resources::object::Draft;
use crate::apiserver::resources::resource::Resource;
use crate::apiserver::server::ApiServer;
use crate::apiserver::status::Failure;

/// What may not be changed, in Kubernetes's words; its list of the differences is left out.
const UNCHANGEABLE: &str = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

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
