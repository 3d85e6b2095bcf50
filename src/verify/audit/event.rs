//! Audit events as the API server writes them.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use classify::Target;
use record::CallRecord;

/// A request as the audit log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The request's `auditID`, which is also in the response's `Audit-Id`. A client may give it, so
    /// that several requests can have the same.
    pub id: String,
    /// The authenticated user; empty where authentication failed.
    pub user: String,
    /// The user that was impersonated.
    pub impersonated: Option<String>,
    /// What was called.
    pub call: CallRecord,
    /// Namespace and name of the object.
    pub object: (String, String),
    /// The status code; 0 where the log has none.
    pub code: u16,
    /// When the server received the request.
    pub received: Timestamp,
    /// When it reached the stage that was counted.
    pub staged: Timestamp,
}

/// What is read of an event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event<'a> {
    #[serde(rename = "auditID", borrow)]
    pub(super) audit_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) stage: Cow<'a, str>,
    #[serde(rename = "requestURI", borrow)]
    pub(super) request_uri: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) verb: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) level: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) user: User<'a>,
    #[serde(borrow)]
    pub(super) impersonated_user: Option<User<'a>>,
    #[serde(default)]
    pub(super) object_ref: ObjectRef,
    #[serde(borrow, default)]
    pub(super) response_status: Status<'a>,
    pub(super) request_received_timestamp: Timestamp,
    pub(super) stage_timestamp: Timestamp,
    // What follows is read only where it is asked for.
    #[serde(borrow, rename = "sourceIPs")]
    pub(super) source_ips: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) user_agent: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) request_object: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) response_object: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) annotations: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
pub(super) struct User<'a> {
    #[serde(default)]
    pub(super) username: String,
    #[serde(borrow)]
    pub(super) extra: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ObjectRef {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) resource_version: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Status<'a> {
    pub(super) code: u16,
    #[serde(borrow)]
    pub(super) reason: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) details: Option<&'a RawValue>,
}

impl Event<'_> {
    /// What was asked for; `None` if no server takes such a `requestURI`.
    pub(super) fn target(&self) -> Option<Target<'_>> {
        Target::parse(self.method(), self.request_uri.as_bytes()).ok()
    }

    /// The method behind the verb, for KubeVirt's rule, which goes by methods. A verb of another
    /// method stands for itself.
    pub(super) fn method(&self) -> &str {
        match &*self.verb {
            "get" | "list" | "watch" | "proxy" => "GET",
            "create" | "post" => "POST",
            "update" | "put" => "PUT",
            "patch" => "PATCH",
            "delete" | "deletecollection" => "DELETE",
            "head" => "HEAD",
            "options" => "OPTIONS",
            "" => "OPTIONS",
            other => other,
        }
    }

    /// The request of this event, which is called that.
    pub(super) fn entry(&self, call: CallRecord) -> AuditEntry {
        let impersonated = self.impersonated_user.as_ref();
        AuditEntry {
            id: self.audit_id.clone().into_owned(),
            user: self.user.username.clone(),
            impersonated: impersonated.map(|user| user.username.clone()),
            call,
            object: (
                self.object_ref.namespace.clone(),
                self.object_ref.name.clone(),
            ),
            code: self.response_status.code,
            received: self.request_received_timestamp,
            staged: self.stage_timestamp,
        }
    }
}
