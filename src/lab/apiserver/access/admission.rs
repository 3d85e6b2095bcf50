//! Admission: a function that is asked before an object is created or updated, as a webhook would be.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::apiserver::requests::user::UserInfo;
use crate::apiserver::resources::meta;
use crate::apiserver::resources::resource::Resource;
use crate::apiserver::status::Failure;

/// What is about to be written.
#[derive(Debug, Clone)]
pub struct AdmissionRequest {
    /// `CREATE` or `UPDATE`.
    pub operation: &'static str,
    /// API group, version, plural resource name.
    pub resource: (&'static str, &'static str, &'static str),
    /// `status` or empty.
    pub subresource: String,
    /// Empty at cluster scope.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// Who creates or updates.
    pub user: UserInfo,
    /// The object as it would be stored.
    pub object: Value,
    /// The object as it is stored; `None` for a create.
    pub old_object: Option<Value>,
}

/// What a hook decides.
#[derive(Debug, Clone)]
pub enum AdmissionResponse {
    /// The object is stored as it is.
    Allow,
    /// With this object instead; its identity (name, namespace, uid) stays.
    Mutate(Value),
    /// Not at all: HTTP code (400 to 599, else 403) and message.
    Deny(u16, String),
}

/// A hook: asked with a request, answers with a decision.
pub type AdmissionHook =
    dyn Fn(AdmissionRequest) -> BoxFuture<'static, AdmissionResponse> + Send + Sync;

struct Rule {
    resources: Vec<(String, String)>,
    hook: Arc<AdmissionHook>,
}

/// The one hook that is set, if any.
#[derive(Default)]
pub(crate) struct Admission(RwLock<Option<Arc<Rule>>>);

impl fmt::Debug for Admission {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Admission").finish_non_exhaustive()
    }
}

impl Admission {
    /// `resources` are pairs of API group and plural name.
    pub(crate) fn set(&self, resources: &[(&str, &str)], hook: Arc<AdmissionHook>) {
        let resources = resources
            .iter()
            .map(|(group, plural)| ((*group).to_owned(), (*plural).to_owned()))
            .collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::new(Rule { resources, hook }));
    }

    fn rule_for(&self, resource: &Resource) -> Option<Arc<Rule>> {
        let rule = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        let asked = rule
            .resources
            .iter()
            .any(|(group, plural)| group == resource.group && plural == resource.plural);
        asked.then_some(rule)
    }

    /// The object to store. `request` is only built if somebody wants to be asked.
    pub(crate) async fn review(
        &self,
        resource: &'static Resource,
        object: Value,
        request: impl FnOnce(Value) -> AdmissionRequest,
    ) -> Result<Value, Failure> {
        let Some(rule) = self.rule_for(resource) else {
            return Ok(object);
        };
        let decision = (rule.hook)(request(object.clone())).await;
        match decision {
            AdmissionResponse::Allow => Ok(object),
            AdmissionResponse::Mutate(changed) => Ok(keep_identity(&object, changed)),
            AdmissionResponse::Deny(code, message) => Err(denied(code, &message)),
        }
    }
}

fn keep_identity(object: &Value, mut changed: Value) -> Value {
    if !changed["metadata"].is_object() {
        return object.clone();
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "resourceVersion",
        "managedFields",
    ] {
        meta::restore(&mut changed, object, field);
    }
    changed
}

fn denied(code: u16, message: &str) -> Failure {
    let message = format!("admission webhook \"virt-api.lab\" denied the request: {message}");
    match code {
        422 => Failure::new(422, "Invalid", message),
        400..=599 => Failure::new(code, "BadRequest", message),
        _ => Failure::new(403, "Forbidden", message),
    }
}
