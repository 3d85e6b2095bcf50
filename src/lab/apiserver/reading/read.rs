//! get and list.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::apiserver::representation::answer::Answer;
use crate::apiserver::requests::call::Call;
use crate::apiserver::requests::selector::{FieldSelector, LabelSelector};
use crate::apiserver::resources::object::{Key, Object};
use crate::apiserver::server::ApiServer;
use crate::apiserver::status::Failure;
use crate::apiserver::storage::store::Store;

/// Answers the named object.
pub(crate) fn get(server: &ApiServer, call: &Call) -> Result<Answer, Failure> {
    let object = server
        .store
        .get(call.id, &call.key())
        .ok_or_else(|| call.not_found())?;
    Ok(Answer::json(
        200,
        call.view.one(call.resource, &object.json()),
    ))
}

/// Which objects a list, a watch or a deletecollection is about.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) namespace: String,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    pub(crate) fn of(call: &Call) -> Result<Self, Failure> {
        let labels =
            LabelSelector::parse(call.query.text("labelSelector")).map_err(Failure::bad_request)?;
        let fields =
            FieldSelector::parse(call.query.text("fieldSelector")).map_err(Failure::bad_request)?;
        let known = |field: &str| {
            matches!(field, "metadata.name" | "metadata.namespace")
                || call.resource.fields.contains(&field)
        };
        if let Some(unknown) = fields.fields().find(|field| !known(field)) {
            return Err(Failure::bad_request(format!(
                "field label not supported: {unknown}"
            )));
        }
        Ok(Self {
            namespace: call.namespace().to_owned(),
            labels,
            fields,
        })
    }

    pub(crate) fn matches(&self, object: &Object) -> bool {
        let facts = &object.facts;
        (self.namespace.is_empty() || facts.key.namespace == self.namespace)
            && self.labels.matches(&facts.labels)
            && self.fields.matches(|field| facts.field(field))
    }

    fn selects_all(&self) -> bool {
        self.labels == LabelSelector::default() && self.fields == FieldSelector::default()
    }
}

/// A number in a list or watch option.
pub(crate) fn number(call: &Call, name: &str) -> Result<Option<i64>, Failure> {
    call.query.number(name).map_err(|text| {
        Failure::bad_request(format!(
            "strconv.ParseInt: parsing \"{text}\": invalid syntax"
        ))
    })
}

/// The resourceVersion asked for; `None` if there is none.
pub(crate) fn asked_version(call: &Call) -> Result<Option<u64>, Failure> {
    match call.query.text("resourceVersion") {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            let why = format!("strconv.ParseUint: parsing \"{text}\": invalid syntax");
            let message = format!("resourceVersion: Invalid value: \"{text}\": {why}");
            match call.route.verb.as_str() {
                "watch" => Failure::new(500, "", message),
                _ => Failure::bad_request(format!("invalid resource version: {message}")),
            }
        }),
    }
}

/// A page of a list, and what comes after it.
struct Page {
    objects: Vec<Arc<Object>>,
    version: u64,
    more: usize,
}

/// Answers a list. A list with `continue`, or with `resourceVersionMatch=Exact`, shows the objects as they were at that
/// version, as long as the history reaches back to it.
pub(crate) fn list(server: &ApiServer, call: &Call) -> Result<Answer, Failure> {
    let filter = Filter::of(call)?;
    let asked = asked_version(call)?;
    let resume = resume(call, asked)?;
    let (mut objects, version) = match &resume {
        Some((version, after)) => {
            let objects = server
                .store
                .snapshot_at(call.id, &filter.namespace, *version);
            let mut objects = objects.map_err(|_| Failure::continue_expired())?;
            objects.retain(|object| object.facts.key > *after);
            (objects, *version)
        }
        None => snapshot(&server.store, call, &filter, asked)?,
    };
    objects.retain(|object| filter.matches(object));
    // The watch cache, which answers version 0, ignores limits.
    let limit = number(call, "limit")?.filter(|limit| *limit > 0 && asked != Some(0));
    let limit = limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX);
    let more = objects.len().saturating_sub(limit);
    objects.truncate(limit);
    let metadata = list_metadata(
        &Page {
            objects: objects.clone(),
            version,
            more,
        },
        &filter,
    );
    Ok(Answer::json(
        200,
        call.view.list(call.resource, &objects, &metadata),
    ))
}

fn snapshot(
    store: &Store,
    call: &Call,
    filter: &Filter,
    asked: Option<u64>,
) -> Result<(Vec<Arc<Object>>, u64), Failure> {
    let current = store.version();
    if let Some(version) = asked.filter(|version| *version > current) {
        return Err(Failure::version_too_large(version, current));
    }
    match (call.query.text("resourceVersionMatch"), asked) {
        ("Exact", Some(version)) if version > 0 => {
            let objects = store.snapshot_at(call.id, &filter.namespace, version);
            Ok((
                objects.map_err(|expired| Failure::expired(version, expired.oldest))?,
                version,
            ))
        }
        ("Exact" | "NotOlderThan", None) => Err(forbidden_match(
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )),
        ("Exact", Some(_)) => Err(forbidden_match(
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        )),
        ("" | "NotOlderThan", _) => Ok(store.snapshot(call.id, &filter.namespace)),
        (other, _) => {
            let why = format!(
                "Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\", \"\""
            );
            Err(Failure::invalid_option(
                "ListOptions",
                "resourceVersionMatch",
                &why,
            ))
        }
    }
}

/// `resourceVersionMatch` where it may not stand.
pub(crate) fn forbidden_match(why: &str) -> Failure {
    Failure::invalid_option(
        "ListOptions",
        "resourceVersionMatch",
        &format!("Forbidden: {why}"),
    )
}

/// The position that a continue token stands for: version, and the key after which to go on.
fn resume(call: &Call, asked: Option<u64>) -> Result<Option<(u64, Key)>, Failure> {
    let token = call.query.text("continue");
    if token.is_empty() {
        return Ok(None);
    }
    if asked.is_some_and(|version| version > 0) {
        return Err(Failure::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    let invalid = || Failure::bad_request("invalid continue token: continue key is not valid");
    let text = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
    let value: Value = serde_json::from_slice(&text).map_err(|_| invalid())?;
    let part = |name: &str| value[name].as_str().map(str::to_owned).ok_or_else(invalid);
    let key = Key {
        namespace: part("namespace")?,
        name: part("name")?,
    };
    Ok(Some((value["version"].as_u64().ok_or_else(invalid)?, key)))
}

fn list_metadata(page: &Page, filter: &Filter) -> Value {
    let mut metadata = json!({"resourceVersion": page.version.to_string()});
    if let Some(last) = page.objects.last().filter(|_| page.more > 0) {
        let key = &last.facts.key;
        let token = json!({"version": page.version, "namespace": key.namespace, "name": key.name});
        metadata["continue"] = URL_SAFE_NO_PAD.encode(token.to_string()).into();
        if filter.selects_all() {
            metadata["remainingItemCount"] = page.more.into();
        }
    }
    metadata
}
