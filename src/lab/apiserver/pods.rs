//! The subresources of pods that are created: binding and eviction.

use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::object::Draft;
use super::remove::{self, DeleteOptions};
use super::status::Failure;
use super::{ApiServer, meta};

/// Assigns a pod to the node that the Binding in the body names, and says so in the PodScheduled condition.
pub(crate) fn bind(server: &ApiServer, call: &Call) -> Result<Answer, Failure> {
    let binding = call.document()?;
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    if node.is_empty() {
        let why = "Required value";
        return Err(Failure::invalid(
            call.resource,
            &call.route.name,
            "target.name",
            why,
        ));
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
    let refuse = |why: &str| {
        // Kubernetes names the subresource here.
        let failure = Failure::conflict(call.resource, name, why);
        let message = format!("Operation cannot be fulfilled on pods/binding \"{name}\": {why}");
        Err(Failure { message, ..failure })
    };
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
