//! delete and deletecollection.

use std::sync::Arc;

use futures_util::stream;
use serde_json::{Value, json};

use crate::apiserver::reading::read::{self, Filter};
use crate::apiserver::representation::answer::Answer;
use crate::apiserver::representation::view::list_chunks;
use crate::apiserver::requests::call::Call;
use crate::apiserver::resources::meta;
use crate::apiserver::resources::object::{Draft, Key, Object, items};
use crate::apiserver::resources::registry::{RESOURCES, ResourceId};
use crate::apiserver::resources::resource::Resource;
use crate::apiserver::server::ApiServer;
use crate::apiserver::status::{self, Failure};
use crate::apiserver::storage::store::Store;

/// The finalizer under which the garbage collector removes the dependents first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer under which the garbage collector sets the dependents free first.
pub(crate) const ORPHAN: &str = "orphan";

/// How an object is to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_seconds: Option<i64>,
    /// `Foreground` and `Orphan` make the object wait for its dependents.
    pub(crate) propagation: String,
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    /// From the body, or from the query if there is none.
    fn of(call: &Call) -> Result<Self, Failure> {
        let body = if call.body.is_empty() {
            Value::Null
        } else {
            call.document()?
        };
        let mut options = Self::from_value(&body)?;
        if options.propagation.is_empty() {
            call.query
                .text("propagationPolicy")
                .clone_into(&mut options.propagation);
            check_propagation(&options.propagation)?;
        }
        let grace = read::number(call, "gracePeriodSeconds")?.map(|seconds| seconds.max(0));
        options.grace_seconds = options.grace_seconds.or(grace);
        options.dry_run |= call.is_dry_run();
        Ok(options)
    }

    /// From a `DeleteOptions` object; null stands for one without anything.
    pub(crate) fn from_value(value: &Value) -> Result<Self, Failure> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let propagation = text(&value["propagationPolicy"]).unwrap_or_default();
        check_propagation(&propagation)?;
        Ok(Self {
            grace_seconds: value["gracePeriodSeconds"]
                .as_i64()
                .map(|seconds| seconds.max(0)),
            propagation,
            uid: text(&value["preconditions"]["uid"]),
            version: text(&value["preconditions"]["resourceVersion"]),
            dry_run: items(&value["dryRun"]).iter().any(|item| item == "All"),
        })
    }
}

fn check_propagation(policy: &str) -> Result<(), Failure> {
    if matches!(policy, "" | "Background" | "Foreground" | "Orphan") {
        return Ok(());
    }
    let supported = "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"";
    let why = format!("Unsupported value: \"{policy}\": {supported}");
    Err(Failure::invalid_option(
        "DeleteOptions",
        "propagationPolicy",
        &why,
    ))
}

/// What became of an object that was to be deleted.
#[derive(Debug)]
pub(crate) enum Removal {
    Gone(Arc<Object>),
    /// Marked; finalizers or a grace period hold it.
    Waiting(Arc<Object>),
}

impl Removal {
    fn object(&self) -> &Arc<Object> {
        match self {
            Self::Gone(object) | Self::Waiting(object) => object,
        }
    }
}

/// Deletes the named object.
pub(crate) fn delete(server: &ApiServer, call: &Call) -> Result<Answer, Failure> {
    let options = DeleteOptions::of(call)?;
    let removal =
        remove(&server.store, call.id, &call.key(), &options)?.ok_or_else(|| call.not_found())?;
    let object = removal.object();
    match &removal {
        Removal::Gone(_) if !call.resource.deletion_returns => {
            let name = &object.facts.key.name;
            Ok(Answer::value(
                200,
                &status::success(call.resource, name, &object.facts.uid),
            ))
        }
        _ => Ok(Answer::json(
            200,
            call.view.one(call.resource, &object.json()),
        )),
    }
}

/// Deletes all selected objects of a namespace, and answers them as a list.
pub(crate) fn delete_collection(server: &ApiServer, call: &Call) -> Result<Answer, Failure> {
    let options = DeleteOptions::of(call)?;
    let filter = Filter::of(call)?;
    let (objects, version) = server.store.snapshot(call.id, &filter.namespace);
    let mut removed = vec![];
    for object in objects.iter().filter(|object| filter.matches(object)) {
        if let Some(removal) = remove(&server.store, call.id, &object.facts.key, &options)? {
            removed.push(removal.object().clone());
        }
    }
    let metadata = json!({"resourceVersion": version.to_string()});
    let chunks = list_chunks(call.resource, removed, &metadata);
    Ok(Answer::stream(stream::iter(chunks)))
}

/// Deletes one object by Kubernetes's rules; `None` if there is none.
pub(crate) fn remove(
    store: &Store,
    id: ResourceId,
    key: &Key,
    options: &DeleteOptions,
) -> Result<Option<Removal>, Failure> {
    let resource = RESOURCES[id];
    loop {
        let Some(current) = store.get(id, key) else {
            return Ok(None);
        };
        let mut value = current.parse();
        check_preconditions(resource, &current, options)?;
        let before = value.clone();
        mark(resource, &mut value, options);
        let gone = is_free(resource, &value);
        if options.dry_run || (!gone && value == before) {
            return Ok(Some(Removal::Waiting(current)));
        }
        // What goes at once was never seen as terminating, but for pods.
        let last = if gone && !resource.is_pods() {
            &before
        } else {
            &value
        };
        let draft = Draft::new(resource, last);
        // Another writer in between has made progress; its result is what is to be deleted then.
        let stored = if gone {
            store.remove(id, &current, draft).map(Removal::Gone)
        } else {
            store.replace(id, &current, draft).map(Removal::Waiting)
        };
        if let Ok(removal) = stored {
            return Ok(Some(removal));
        }
    }
}

fn check_preconditions(
    resource: &Resource,
    current: &Object,
    options: &DeleteOptions,
) -> Result<(), Failure> {
    let version = current.version.to_string();
    let checks = [
        (
            "UID",
            &options.uid,
            current.facts.uid.as_str(),
            "deleted and then recreated",
        ),
        (
            "ResourceVersion",
            &options.version,
            version.as_str(),
            "modified",
        ),
    ];
    for (what, wanted, stored, happened) in checks {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != stored) {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({stored}). \
                 The object might have been {happened}"
            );
            return Err(Failure::conflict_of_kind(
                resource,
                &current.facts.key.name,
                &why,
            ));
        }
    }
    Ok(())
}

/// Enters the deletion into the object: when, after which grace period, and for whom it waits.
fn mark(resource: &Resource, value: &mut Value, options: &DeleteOptions) {
    add_propagation(value, &options.propagation);
    let grace = if resource.is_pods() {
        pod_grace(value, options)
    } else {
        0
    };
    let metadata = meta::of(value);
    let marked = metadata.contains_key("deletionTimestamp");
    let left = metadata
        .get("deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    if !marked || grace < left {
        metadata.insert("deletionTimestamp".into(), meta::in_seconds(grace).into());
        if !resource.is_namespaces() {
            metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
        }
        if let Some(generation) = metadata
            .get("generation")
            .and_then(Value::as_i64)
            .filter(|_| !marked)
        {
            metadata.insert("generation".into(), (generation + 1).into());
        }
    }
    if resource.is_namespaces() {
        value["status"]["phase"] = "Terminating".into();
    }
}

fn add_propagation(value: &mut Value, propagation: &str) {
    let finalizer = match propagation {
        "Foreground" => FOREGROUND,
        "Orphan" => ORPHAN,
        _ => return,
    };
    let finalizers = meta::of(value)
        .entry("finalizers")
        .or_insert_with(|| json!([]));
    if let Value::Array(list) = finalizers
        && !list.iter().any(|known| known == finalizer)
    {
        list.push(finalizer.into());
    }
}

/// A pod that runs on a node gets its grace period; its kubelet deletes it with 0 when the containers have ended.
fn pod_grace(value: &Value, options: &DeleteOptions) -> i64 {
    let ended = matches!(
        value["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    );
    let assigned = value["spec"]["nodeName"]
        .as_str()
        .is_some_and(|node| !node.is_empty());
    if ended || !assigned {
        return 0;
    }
    let own = value["spec"]["terminationGracePeriodSeconds"].as_i64();
    options.grace_seconds.or(own).unwrap_or(30)
}

/// Whether nothing holds an object that is to be deleted: no finalizer, no grace period, for a namespace no contents.
pub(crate) fn is_free(resource: &Resource, value: &Value) -> bool {
    let metadata = &value["metadata"];
    let holds_contents =
        resource.is_namespaces() && !items(&value["spec"]["finalizers"]).is_empty();
    let grace = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    items(&metadata["finalizers"]).is_empty() && !holds_contents && grace == 0
}
