//! update, and what every other change of a stored object has in common with it.

use std::sync::Arc;

use serde_json::Value;

use super::create;
use super::pods;
use crate::apiserver::access::admission::AdmissionRequest;
use crate::apiserver::deleting::remove::is_free;
use crate::apiserver::representation::answer::Answer;
use crate::apiserver::requests::call::Call;
use crate::apiserver::resources::meta;
use crate::apiserver::resources::meta::Manager;
use crate::apiserver::resources::object::{Draft, Key, Object, items};
use crate::apiserver::resources::resource::Origin;
use crate::apiserver::server::ApiServer;
use crate::apiserver::status::Failure;
use crate::packing::Packer;

/// How often a change without a resourceVersion is computed anew because another writer was faster. Each time that
/// other one got ahead, so it ends; the bound is for the case that it does not.
const ATTEMPTS: usize = 1000;

/// metadata that only the server changes.
const SYSTEM_FIELDS: [&str; 7] = [
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "namespace",
];

/// Replaces the named object, or its status, by the one in the body.
pub(crate) async fn put(server: &ApiServer, call: &Call) -> Result<Answer, Failure> {
    if call.route.name.is_empty() {
        return Err(call.name_missing());
    }
    let proposed = call.object()?;
    check_name(call, &proposed)?;
    let manager = call.manager("Update");
    if server.store.get(call.id, &call.key()).is_none() && call.resource.update_creates {
        return create::store_new(server, call, proposed, &manager).await;
    }
    let object = rewrite(server, call, &manager, |_| Ok(proposed.clone())).await?;
    Ok(answer(call, &object))
}

/// The answer with an object that was changed, or was to stay.
pub(crate) fn answer(call: &Call, object: &Arc<Object>) -> Answer {
    Answer::json(200, call.view.one(call.resource, &object.json()))
}

/// Changes the named object to what `propose` makes of it. A resourceVersion in the proposal must be the newest one;
/// without it the change is computed again when another writer was faster. What changes nothing is not stored.
pub(crate) async fn rewrite(
    server: &ApiServer,
    call: &Call,
    manager: &Manager,
    propose: impl Fn(&Value) -> Result<Value, Failure>,
) -> Result<Arc<Object>, Failure> {
    for _ in 0..ATTEMPTS {
        let current = server
            .store
            .get(call.id, &call.key())
            .ok_or_else(|| call.not_found())?;
        let old = current.parse();
        let proposed = propose(&old)?;
        check(call, &old, &proposed)?;
        let next = merge(call, &old, proposed);
        check_finalizers(call, &old, &next)?;
        pods::check_update(call.resource, &old, &next)?;
        let mut next = admit(server, call, &old, next).await?;
        if next == old {
            return Ok(current);
        }
        meta::bump_generation(call.resource, &old, &mut next);
        meta::enter_manager(call.resource, &mut next, manager);
        let draft = Draft::new(call.resource, &next);
        if call.is_dry_run() {
            return Ok(Arc::new(
                draft.seal(current.version, &mut Packer::default()),
            ));
        }
        let stored = if was_deleted(&old) && is_free(call.resource, &next) {
            server.store.remove(call.id, &current, draft)
        } else {
            server.store.replace(call.id, &current, draft)
        };
        if let Ok(object) = stored {
            return Ok(object);
        }
    }
    Err(Failure::modified(call.resource, &call.route.name))
}

fn was_deleted(value: &Value) -> bool {
    value["metadata"]["deletionTimestamp"].is_string()
}

fn check_name(call: &Call, proposed: &Value) -> Result<(), Failure> {
    let (name, asked) = (
        proposed["metadata"]["name"].as_str().unwrap_or_default(),
        &call.route.name,
    );
    if name == asked {
        return Ok(());
    }
    let message =
        format!("the name of the object ({name}) does not match the name on the URL ({asked})");
    Err(Failure::bad_request(message))
}

/// Checks the proposal's identity and resourceVersion against the stored object.
fn check(call: &Call, old: &Value, proposed: &Value) -> Result<(), Failure> {
    check_name(call, proposed)?;
    let (given, stored) = (&proposed["metadata"], &old["metadata"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (uid, version) = (text(&given["uid"]), text(&given["resourceVersion"]));
    if !uid.is_empty() && uid != text(&stored["uid"]) {
        return Err(wrong_uid(call, &uid, &text(&stored["uid"])));
    }
    let given_version = !matches!(version.as_str(), "" | "0");
    if !given_version && !call.resource.unconditional {
        return Err(Failure::version_required(call.resource, &call.route.name));
    }
    if given_version && version != text(&stored["resourceVersion"]) {
        return Err(Failure::modified(call.resource, &call.route.name));
    }
    Ok(())
}

/// The storage layer's own words.
fn wrong_uid(call: &Call, uid: &str, stored: &str) -> Failure {
    let Key { namespace, name } = call.key();
    let parts = [
        "/registry",
        call.resource.group,
        call.resource.plural,
        &namespace,
        &name,
    ];
    let path = parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/");
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {path}, ResourceVersion: 0, AdditionalErrorMsg: Precondition \
         failed: UID in precondition: {uid}, UID in object meta: {stored}"
    );
    Failure::conflict(call.resource, &name, &why)
}

/// The object to store: of the proposal what this path may change, of the old one the rest.
fn merge(call: &Call, old: &Value, proposed: Value) -> Value {
    if call.route.subresource == "status" {
        return merge_status(call, old, proposed);
    }
    let mut next = proposed;
    for field in SYSTEM_FIELDS.into_iter().chain(["resourceVersion"]) {
        meta::restore(&mut next, old, field);
    }
    meta::drop_empty(&mut next);
    if call.resource.status {
        replace_member(&mut next, old, "status");
    }
    next
}

/// Of a native type, labels, annotations and finalizers can be changed through its status too.
fn merge_status(call: &Call, old: &Value, proposed: Value) -> Value {
    let mut next = old.clone();
    replace_member(&mut next, &proposed, "status");
    if call.resource.origin == Origin::Native {
        for field in ["labels", "annotations", "finalizers"] {
            meta::restore(&mut next, &proposed, field);
        }
    }
    next
}

fn replace_member(value: &mut Value, source: &Value, name: &str) {
    match &source[name] {
        Value::Null => value.as_object_mut().and_then(|map| map.remove(name)),
        member => value
            .as_object_mut()
            .and_then(|map| map.insert(name.to_owned(), member.clone())),
    };
}

fn check_finalizers(call: &Call, old: &Value, next: &Value) -> Result<(), Failure> {
    let known = items(&old["metadata"]["finalizers"]);
    let added: Vec<_> = items(&next["metadata"]["finalizers"])
        .iter()
        .filter(|finalizer| !known.contains(finalizer))
        .collect();
    if added.is_empty() || !was_deleted(old) {
        return Ok(());
    }
    let added: Vec<_> = added.into_iter().map(Value::to_string).collect();
    let why = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added.join(", ")
    );
    Err(Failure::invalid(
        call.resource,
        &call.route.name,
        "metadata.finalizers",
        &why,
    ))
}

async fn admit(
    server: &ApiServer,
    call: &Call,
    old: &Value,
    next: Value,
) -> Result<Value, Failure> {
    let request = |object| AdmissionRequest {
        operation: "UPDATE",
        resource: (
            call.resource.group,
            call.resource.version,
            call.resource.plural,
        ),
        subresource: call.route.subresource.clone(),
        namespace: call.namespace().to_owned(),
        name: call.route.name.clone(),
        user: call.user.clone(),
        object,
        old_object: Some(old.clone()),
    };
    server.admission.review(call.resource, next, request).await
}
