//! Access reviews, `authorization.k8s.io`: whether a user may do something.

use serde_json::{Value, json};

use crate::apiserver::representation::answer::Answer;
use crate::apiserver::representation::protobuf;
use crate::apiserver::requests::call;
use crate::apiserver::requests::route::Route;
use crate::apiserver::requests::user::UserInfo;
use crate::apiserver::resources::object::{items, text};
use crate::apiserver::server::ApiServer;
use crate::apiserver::status::Failure;

/// Answers the reviews of `authorization.k8s.io`; every other resource that the registry does not know is not found.
pub(crate) fn review(
    server: &ApiServer,
    route: &Route,
    user: &UserInfo,
    content_type: &str,
    body: &[u8],
) -> Result<Answer, Failure> {
    let reviews = [
        "selfsubjectaccessreviews",
        "subjectaccessreviews",
        "selfsubjectrulesreviews",
    ];
    let group = (route.group.as_str(), route.version.as_str());
    if group != ("authorization.k8s.io", "v1") || !reviews.contains(&route.resource.as_str()) {
        return Err(Failure::no_such_path());
    }
    if route.verb != "create" {
        return Err(Failure::method_not_allowed());
    }
    let mut value = match content_type {
        protobuf::MEDIA_TYPE => call::from_protobuf(body)?,
        _ => {
            serde_json::from_slice(body).map_err(|error| Failure::bad_request(error.to_string()))?
        }
    };
    if !value.is_object() {
        return Err(Failure::bad_request("the body is not an object"));
    }
    value["status"] = match route.resource.as_str() {
        "selfsubjectrulesreviews" => rules(),
        "subjectaccessreviews" => decision(server, &subject(&value["spec"]), &value["spec"]),
        _ => decision(server, user, &value["spec"]),
    };
    Ok(Answer::value(201, &value))
}

fn subject(spec: &Value) -> UserInfo {
    let groups = items(&spec["groups"]);
    UserInfo {
        name: text(&spec["user"]),
        groups: groups.iter().map(text).collect(),
    }
}

fn decision(server: &ApiServer, user: &UserInfo, spec: &Value) -> Value {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let allowed = if resource.is_object() {
        server.access.allows(
            user,
            &text(&resource["verb"]),
            &text(&resource["group"]),
            &text(&resource["resource"]),
        )
    } else {
        server.access.allows(user, &text(&path["verb"]), "", "")
    };
    json!({"allowed": allowed})
}

fn rules() -> Value {
    json!({
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "incomplete": false,
    })
}
