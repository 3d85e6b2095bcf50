//! Kubernetes's `Status` answers: one constructor for each error that kube-apiserver gives, in its own words.

use serde_json::{Value, json};

use super::resources::resource::Resource;

/// What a handler answers instead of an object: becomes the HTTP code and a `Status` body.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code} {reason}: {message}")]
pub(crate) struct Failure {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Value,
}

const NO_SUCH_PATH: &str = "the server could not find the requested resource";

/// `pods` or `virtualmachines.kubevirt.io`.
pub(crate) fn qualified(group: &str, name: &str) -> String {
    if group.is_empty() {
        name.to_owned()
    } else {
        format!("{name}.{group}")
    }
}

fn details(resource: &Resource, name: &str) -> Value {
    let mut details = json!({"kind": resource.plural});
    if !name.is_empty() {
        details["name"] = json!(name);
    }
    if !resource.group.is_empty() {
        details["group"] = json!(resource.group);
    }
    details
}

impl Failure {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    fn about(self, resource: &Resource, name: &str) -> Self {
        Self {
            details: details(resource, name),
            ..self
        }
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        let what = qualified(resource.group, resource.plural);
        Self::new(404, "NotFound", format!("{what} \"{name}\" not found")).about(resource, name)
    }

    /// No such path, group, version or resource.
    pub(crate) fn no_such_path() -> Self {
        Self {
            details: json!({}),
            ..Self::new(404, "NotFound", NO_SUCH_PATH)
        }
    }

    pub(crate) fn is_no_such_path(&self) -> bool {
        self.code == 404 && self.message == NO_SUCH_PATH
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Self {
        let what = qualified(resource.group, resource.plural);
        Self::new(
            409,
            "AlreadyExists",
            format!("{what} \"{name}\" already exists"),
        )
        .about(resource, name)
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        Self::conflict_as(resource, resource.plural, name, why)
    }

    /// A conflict that Kubernetes words with `kind`, or a subresource, in place of the resource.
    fn conflict_as(resource: &Resource, kind: &str, name: &str, why: &str) -> Self {
        let what = qualified(resource.group, kind);
        let message = format!("Operation cannot be fulfilled on {what} \"{name}\": {why}");
        let mut failure = Self::new(409, "Conflict", message).about(resource, name);
        failure.details["kind"] = kind.into();
        failure
    }

    /// A precondition of a deletion does not hold.
    pub(crate) fn conflict_of_kind(resource: &Resource, name: &str, why: &str) -> Self {
        Self::conflict_as(resource, resource.kind, name, why)
    }

    /// A pod cannot be bound.
    pub(crate) fn binding_conflict(resource: &Resource, name: &str, why: &str) -> Self {
        Self::conflict_as(resource, "pods/binding", name, why)
    }

    /// The optimistic lock failed.
    pub(crate) fn modified(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// `field` is for example `metadata.name`; `why` starts with `Required value`, `Invalid value` or `Forbidden`.
    pub(crate) fn invalid(resource: &Resource, name: &str, field: &str, why: &str) -> Self {
        Self::invalid_kind(resource.group, resource.kind, name, field, why)
    }

    /// An option of a request that may not have that value; `kind` is `ListOptions` for example.
    pub(crate) fn invalid_option(kind: &str, field: &str, why: &str) -> Self {
        Self::invalid_kind("meta.k8s.io", kind, "", field, why)
    }

    /// An update of a type that is never updated blindly. Kubernetes puts the resource where the kind should be.
    pub(crate) fn version_required(resource: &Resource, name: &str) -> Self {
        let why = "Invalid value: 0: must be specified for an update";
        Self::invalid_kind(
            resource.group,
            resource.plural,
            name,
            "metadata.resourceVersion",
            why,
        )
    }

    fn invalid_kind(group: &str, kind: &str, name: &str, field: &str, why: &str) -> Self {
        let reason = match why.split(':').next().unwrap_or_default() {
            "Required value" => "FieldValueRequired",
            "Forbidden" => "FieldValueForbidden",
            "Unsupported value" => "FieldValueNotSupported",
            _ => "FieldValueInvalid",
        };
        let mut details =
            json!({"kind": kind, "causes": [{"reason": reason, "message": why, "field": field}]});
        for (member, text) in [("group", group), ("name", name)] {
            if !text.is_empty() {
                details[member] = text.into();
            }
        }
        let what = qualified(group, kind);
        let message = format!("{what} \"{name}\" is invalid: {field}: {why}");
        Self {
            details,
            ..Self::new(422, "Invalid", message)
        }
    }

    /// A patch that is well-formed but does not apply, a failed JSON patch `test` for example.
    pub(crate) fn patch_does_not_apply() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self {
            details: json!({}),
            ..Self::new(422, "Invalid", message)
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self {
            details: json!({}),
            ..Self::new(405, "MethodNotAllowed", message)
        }
    }

    pub(crate) fn unsupported_media_type(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn not_acceptable() -> Self {
        let message = "406: Not Acceptable\n\nAvailable representations: application/json";
        Self::new(406, "NotAcceptable", message)
    }

    pub(crate) fn too_large() -> Self {
        Self::new(
            413,
            "RequestEntityTooLarge",
            "Request entity too large: limit is 3145728",
        )
    }

    /// The history no longer reaches back to `asked`.
    pub(crate) fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(
            410,
            "Expired",
            format!("too old resource version: {asked} ({oldest})"),
        )
    }

    pub(crate) fn continue_expired() -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.";
        Self::new(410, "Expired", message)
    }

    /// The client is ahead of this server, for example after a restart of the lab.
    pub(crate) fn version_too_large(asked: u64, current: u64) -> Self {
        let causes =
            json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
        let details = json!({"causes": causes, "retryAfterSeconds": 1});
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        Self {
            details,
            ..Self::new(504, "Timeout", message)
        }
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// `what` is everything before `is forbidden`, empty for a path that is no resource.
    pub(crate) fn forbidden(what: &str, why: &str) -> Self {
        let message = if what.is_empty() {
            format!("forbidden: {why}")
        } else {
            format!("{what} is forbidden: {why}")
        };
        Self {
            details: json!({}),
            ..Self::new(403, "Forbidden", message)
        }
    }

    pub(crate) fn too_many_requests() -> Self {
        let message =
            "the server has received too many requests and has asked us to try again later";
        Self {
            details: json!({"retryAfterSeconds": 1}),
            ..Self::new(429, "TooManyRequests", message)
        }
    }

    pub(crate) fn internal(message: &str) -> Self {
        Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
    }

    /// The `Status` object of this failure.
    pub(crate) fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }

    /// Seconds for the `Retry-After` header.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.details
            .get("retryAfterSeconds")
            .and_then(Value::as_u64)
    }
}

/// The `Status` of a request that worked and has no object to show.
pub(crate) fn success(resource: &Resource, name: &str, uid: &str) -> Value {
    let mut details = details(resource, name);
    if !uid.is_empty() {
        details["uid"] = json!(uid);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
