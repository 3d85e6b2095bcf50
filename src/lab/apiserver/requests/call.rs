//! One resource request, understood: what the handlers work on.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use serde_json::Value;

use super::query::Query;
use super::route::Route;
use super::user::UserInfo;
use crate::apiserver::representation::protobuf::{self, Unreadable};
use crate::apiserver::representation::view::View;
use crate::apiserver::resources::meta::Manager;
use crate::apiserver::resources::object::Key;
use crate::apiserver::resources::registry::ResourceId;
use crate::apiserver::resources::resource::{Origin, Resource};
use crate::apiserver::status::Failure;

const MEDIA_TYPES: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// A request for a known resource.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: ResourceId,
    pub(crate) resource: &'static Resource,
    pub(crate) route: Route,
    pub(crate) query: Query,
    pub(crate) user: UserInfo,
    pub(crate) view: View,
    pub(crate) content_type: String,
    pub(crate) agent: String,
    pub(crate) body: Bytes,
}

impl Call {
    /// Where the named object stands.
    pub(crate) fn key(&self) -> Key {
        self.key_of(&self.route.name)
    }

    pub(crate) fn key_of(&self, name: &str) -> Key {
        Key {
            namespace: self.namespace().to_owned(),
            name: name.to_owned(),
        }
    }

    /// The namespace of the objects asked for: empty at cluster scope, for namespaces themselves too.
    pub(crate) fn namespace(&self) -> &str {
        if self.resource.namespaced {
            &self.route.namespace
        } else {
            ""
        }
    }

    pub(crate) fn not_found(&self) -> Failure {
        Failure::not_found(self.resource, &self.route.name)
    }

    /// The writer: `fieldManager`, or the program in the User-Agent.
    pub(crate) fn manager(&self, operation: &'static str) -> Manager {
        let name = match self.query.text("fieldManager") {
            "" => self.agent.as_str(),
            named => named,
        };
        Manager {
            name: name.to_owned(),
            operation,
            subresource: self.route.subresource.clone(),
        }
    }

    /// A change without a name in the path.
    pub(crate) fn name_missing(&self) -> Failure {
        match self.resource.origin {
            Origin::Native => Failure::method_not_allowed(),
            Origin::Custom => Failure::bad_request("name must be provided"),
        }
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.query.text("dryRun") == "All"
    }

    /// The object in the body, of the right type and without anything that contradicts the path.
    pub(crate) fn object(&self) -> Result<Value, Failure> {
        let value = self.document()?;
        self.check(value)
    }

    /// The body as JSON, YAML or protobuf, by the content type.
    pub(crate) fn document(&self) -> Result<Value, Failure> {
        match self.content_type.as_str() {
            "" | "application/json" => self.json(),
            "application/yaml" => self.yaml(),
            protobuf::MEDIA_TYPE => from_protobuf(&self.body),
            _ => Err(Failure::unsupported_media_type(MEDIA_TYPES)),
        }
    }

    pub(crate) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| self.unreadable("json", &error.to_string()))
    }

    /// YAML; most clients send JSON under that name, which is read faster.
    pub(crate) fn yaml(&self) -> Result<Value, Failure> {
        if let Ok(value) = self.json() {
            return Ok(value);
        }
        let text = std::str::from_utf8(&self.body)
            .map_err(|error| self.unreadable("yaml", &error.to_string()))?;
        serde_saphyr::from_str(text).map_err(|error| self.unreadable("yaml", &error.to_string()))
    }

    fn unreadable(&self, format: &str, why: &str) -> Failure {
        self.unrecognised(&format!(
            "couldn't get version/kind; {format} parse error: {why}"
        ))
    }

    fn unrecognised(&self, why: &str) -> Failure {
        let kind = self.resource.kind;
        Failure::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why}"
        ))
    }

    /// Checks type and namespace of an object against the path; fills them in where Kubernetes does.
    pub(crate) fn check(&self, mut value: Value) -> Result<Value, Failure> {
        if !value.is_object() {
            return Err(self.unreadable("json", "not an object"));
        }
        let api_version = self.resource.api_version();
        for (field, expected) in [
            ("apiVersion", api_version.as_str()),
            ("kind", self.resource.kind),
        ] {
            match value[field].as_str().unwrap_or("") {
                "" if self.resource.origin == Origin::Native => value[field] = expected.into(),
                "" if field == "kind" => {
                    return Err(self.unrecognised("Object 'Kind' is missing in the body"));
                }
                given if given == expected => {}
                given => return Err(wrong_type(field, given, expected)),
            }
        }
        if self.resource.origin == Origin::Native {
            crate::apiserver::resources::meta::prune_nulls(&mut value);
        }
        let namespace = value["metadata"]["namespace"].as_str().unwrap_or("");
        if self.resource.namespaced && !namespace.is_empty() && namespace != self.route.namespace {
            let message = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Failure::bad_request(message));
        }
        Ok(value)
    }
}

/// A protobuf body; of most types it cannot be read, which is then an unsupported media type.
pub(crate) fn from_protobuf(body: &[u8]) -> Result<Value, Failure> {
    protobuf::decode(body).map_err(|unreadable| match unreadable {
        Unreadable::UnknownType => {
            Failure::unsupported_media_type("application/json, application/yaml")
        }
        Unreadable::Malformed => Failure::bad_request("the protobuf body cannot be decoded"),
    })
}

fn wrong_type(field: &str, given: &str, expected: &str) -> Failure {
    let what = if field == "kind" {
        "kind"
    } else {
        "API version"
    };
    let message =
        format!("the {what} in the data ({given}) does not match the expected {what} ({expected})");
    Failure::bad_request(message)
}

/// The content type without its parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> String {
    let value = header(headers, &CONTENT_TYPE);
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// The program in the User-Agent.
pub(crate) fn agent(headers: &HeaderMap) -> String {
    let value = header(headers, &USER_AGENT);
    let program = value.split(['/', ' ']).next().unwrap_or_default();
    if program.is_empty() {
        "unknown".to_owned()
    } else {
        program.chars().take(128).collect()
    }
}

/// The Accept header.
pub(crate) fn accept(headers: &HeaderMap) -> &str {
    header(headers, &ACCEPT)
}

fn header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
