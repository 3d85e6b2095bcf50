//! `create`, and `update` of what does not exist where the type allows that.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::apiserver::access::admission::AdmissionRequest;
use crate::apiserver::representation::answer::Answer;
use crate::apiserver::representation::view::encode;
use crate::apiserver::requests::call::Call;
use crate::apiserver::resources::defaults;
use crate::apiserver::resources::meta;
use crate::apiserver::resources::meta::Manager;
use crate::apiserver::resources::object::{Draft, Object};
use crate::apiserver::resources::registry::{self, RESOURCES};
use crate::apiserver::resources::resource::Resource;
use crate::apiserver::server::ApiServer;
use crate::apiserver::status::{Failure, qualified};
use crate::apiserver::storage::store::Refusal;

/// How often a generated name that is taken is drawn again.
const NAME_ATTEMPTS: usize = 8;

/// Creates the object in the body.
pub(crate) async fn create(server: &ApiServer, call: &Call) -> Result<Answer, Failure> {
    if !call.route.name.is_empty() {
        return Err(Failure::method_not_allowed());
    }
    let value = call.object()?;
    store_new(server, call, value, &call.manager("Update")).await
}

/// Creates `value`, whose type has been checked.
pub(crate) async fn store_new(
    server: &ApiServer,
    call: &Call,
    mut value: Value,
    manager: &Manager,
) -> Result<Answer, Failure> {
    meta::initialise(call.resource, &mut value, call.namespace());
    defaults::prepare_new(call.resource, &mut value);
    meta::enter_manager(call.resource, &mut value, manager);
    let generated = needs_name(&value);
    let attempts = if generated { NAME_ATTEMPTS } else { 1 };
    for attempt in 1..=attempts {
        let mut named = value.clone();
        choose_name(call, &mut named, generated)?;
        let admitted = admit(server, call, named).await?;
        if call.is_dry_run() {
            return Ok(Answer::json(
                201,
                call.view.one(call.resource, &encode(&admitted)),
            ));
        }
        let name = admitted["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        match server
            .store
            .insert(call.id, Draft::new(call.resource, &admitted))
        {
            Ok(object) => return Ok(created(call, &object)),
            Err(Refusal::Exists) if attempt < attempts => {}
            Err(refusal) => return Err(refused(call, refusal, &name)),
        }
    }
    Err(Failure::internal("no free name was found"))
}

fn needs_name(value: &Value) -> bool {
    value["metadata"]["name"].as_str().unwrap_or("").is_empty()
}

fn choose_name(call: &Call, value: &mut Value, generated: bool) -> Result<(), Failure> {
    if generated {
        let prefix = value["metadata"]["generateName"]
            .as_str()
            .unwrap_or("")
            .to_owned();
        if prefix.is_empty() {
            let why = "Required value: name or generateName is required";
            return Err(Failure::invalid(call.resource, "", "metadata.name", why));
        }
        value["metadata"]["name"] = meta::generated_name(&prefix).into();
    }
    defaults::name_labels(call.resource, value);
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    match meta::name_problem(name) {
        Some(problem) => Err(Failure::invalid(
            call.resource,
            name,
            "metadata.name",
            &problem,
        )),
        None => Ok(()),
    }
}

async fn admit(server: &ApiServer, call: &Call, value: Value) -> Result<Value, Failure> {
    let name = value["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let request = |object| AdmissionRequest {
        operation: "CREATE",
        resource: (
            call.resource.group,
            call.resource.version,
            call.resource.plural,
        ),
        subresource: call.route.subresource.clone(),
        namespace: call.namespace().to_owned(),
        name,
        user: call.user.clone(),
        object,
        old_object: None,
    };
    server.admission.review(call.resource, value, request).await
}

fn created(call: &Call, object: &Arc<Object>) -> Answer {
    Answer::json(201, call.view.one(call.resource, &object.json()))
}

fn refused(call: &Call, refusal: Refusal, name: &str) -> Failure {
    let namespace = call.namespace();
    match refusal {
        Refusal::Exists => Failure::already_exists(call.resource, name),
        Refusal::NoNamespace => no_namespace(namespace),
        Refusal::Terminating => namespace_terminating(call.resource, name, namespace),
    }
}

fn no_namespace(namespace: &str) -> Failure {
    Failure::not_found(RESOURCES[registry::namespaces()], namespace)
}

fn namespace_terminating(resource: &Resource, name: &str, namespace: &str) -> Failure {
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
