//! patch: JSON patch, merge patch, strategic merge patch, apply.

use json_patch::{PatchOperation, TestOperation};
use serde_json::{Map, Value, json};

use super::create;
use super::strategic;
use super::update;
use crate::apiserver::representation::answer::Answer;
use crate::apiserver::requests::call::Call;
use crate::apiserver::resources::meta;
use crate::apiserver::resources::resource::Origin;
use crate::apiserver::server::ApiServer;
use crate::apiserver::status::Failure;

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// Patches the named object, or its status.
pub(crate) async fn patch(server: &ApiServer, call: &Call) -> Result<Answer, Failure> {
    if call.route.name.is_empty() {
        return Err(call.name_missing());
    }
    let native = call.resource.origin == Origin::Native;
    match call.content_type.as_str() {
        JSON_PATCH => {
            let operations = operations(&call.body)?;
            change(server, call, |old| {
                apply_operations(old.clone(), &operations)
            })
            .await
        }
        MERGE_PATCH => {
            let patch = members(document(call)?)?;
            change(server, call, |old| Ok(merged(old, &patch))).await
        }
        STRATEGIC_PATCH if native => {
            let patch = members(document(call)?)?;
            change(server, call, |old| Ok(strategic::merged(old, &patch))).await
        }
        APPLY_PATCH => apply(server, call).await,
        _ if native => Err(Failure::new(
            415,
            "UnsupportedMediaType",
            "415: Unsupported Media Type",
        )),
        _ => Err(Failure::unsupported_media_type(
            &[JSON_PATCH, MERGE_PATCH, APPLY_PATCH].join(", "),
        )),
    }
}

/// What is no list of objects cannot be read; an operation that does not exist is one that does not apply.
fn operations(body: &[u8]) -> Result<Vec<PatchOperation>, Failure> {
    let list: Vec<Map<String, Value>> =
        serde_json::from_slice(body).map_err(|error| undecodable(&error.to_string()))?;
    let operation = |members| serde_json::from_value(Value::Object(members));
    list.into_iter()
        .map(operation)
        .collect::<Result<_, _>>()
        .map_err(|_| Failure::patch_does_not_apply())
}

fn undecodable(why: &str) -> Failure {
    Failure::bad_request(format!("error decoding patch: {why}"))
}

async fn change(
    server: &ApiServer,
    call: &Call,
    patched: impl Fn(&Value) -> Result<Value, Failure>,
) -> Result<Answer, Failure> {
    let manager = call.manager("Update");
    let object = update::rewrite(server, call, &manager, |old| call.check(patched(old)?)).await?;
    Ok(update::answer(call, &object))
}

fn document(call: &Call) -> Result<Value, Failure> {
    serde_json::from_slice(&call.body).map_err(|error| undecodable(&error.to_string()))
}

fn members(patch: Value) -> Result<Value, Failure> {
    if patch.is_object() {
        return Ok(patch);
    }
    Err(undecodable("it is not an object"))
}

/// Each operation in turn. As in Kubernetes, a test for null holds for what is absent.
fn apply_operations(mut value: Value, operations: &[PatchOperation]) -> Result<Value, Failure> {
    for operation in operations {
        if let PatchOperation::Test(TestOperation {
            path,
            value: Value::Null,
        }) = operation
            && value.pointer(path.as_str()).is_none()
        {
            continue;
        }
        json_patch::patch_unsafe(&mut value, std::slice::from_ref(operation))
            .map_err(|_| Failure::patch_does_not_apply())?;
    }
    Ok(value)
}

fn merged(old: &Value, patch: &Value) -> Value {
    let mut value = old.clone();
    json_patch::merge(&mut value, patch);
    value
}

/// Server-side apply, simplified: the configuration is merged into the object, which is created if it is missing. Who
/// owns which field is not kept, so that fields left out stay and nobody gets a conflict.
async fn apply(server: &ApiServer, call: &Call) -> Result<Answer, Failure> {
    if call.query.text("fieldManager").is_empty() {
        let why = "Required value: is required for apply patch";
        return Err(Failure::invalid_option("PatchOptions", "fieldManager", why));
    }
    let mut configuration = call.check(members(call.yaml()?)?)?;
    if !crate::apiserver::resources::object::items(&configuration["metadata"]["managedFields"])
        .is_empty()
    {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let name = meta::of(&mut configuration)
        .entry("name")
        .or_insert_with(|| json!(call.route.name));
    if *name != json!(call.route.name) {
        return Err(Failure::bad_request(
            "the name of the object does not match the name on the URL",
        ));
    }
    let manager = call.manager("Apply");
    let status = call.route.subresource == "status";
    if !status && server.store.get(call.id, &call.key()).is_none() {
        let created = create::store_new(server, call, configuration.clone(), &manager).await;
        match created {
            Err(failure) if failure.reason == "AlreadyExists" => {}
            done => return done,
        }
    }
    let combined = |old: &Value| {
        let value = match call.resource.origin {
            Origin::Native => strategic::merged(old, &configuration),
            Origin::Custom => merged(old, &configuration),
        };
        call.check(value)
    };
    let object = update::rewrite(server, call, &manager, combined).await?;
    Ok(update::answer(call, &object))
}
