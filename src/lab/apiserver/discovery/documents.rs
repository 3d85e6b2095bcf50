//! Discovery, version and health: everything that is no resource.

use serde_json::{Value, json};

use super::openapi;
use crate::apiserver::representation::answer::Answer;
use crate::apiserver::representation::view::encode;
use crate::apiserver::requests::route::Route;
use crate::apiserver::resources::registry::{self, RESOURCES};
use crate::apiserver::resources::resource::Resource;
use crate::apiserver::server::Options;
use crate::apiserver::status::Failure;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const STATUS_VERBS: [&str; 3] = ["get", "patch", "update"];

/// Resources that are only ever created: (plural, kind).
const REVIEWS: [(&str, &str); 3] = [
    ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    ("subjectaccessreviews", "SubjectAccessReview"),
];

/// Answers a path that is no resource.
pub(crate) fn answer(options: &Options, route: &Route, accept: &str) -> Result<Answer, Failure> {
    if !matches!(route.verb.as_str(), "get" | "head") {
        return Err(Failure::method_not_allowed());
    }
    let parts: Vec<_> = route.path.trim_matches('/').split('/').collect();
    let aggregated = accept.split(',').any(is_aggregated);
    let value = match parts.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => return Ok(Answer::text(200, "ok")),
        [""] => {
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/readyz", "/version"]})
        }
        ["version"] => version(options),
        ["api"] if aggregated => {
            return Ok(Answer::new(
                200,
                AGGREGATED,
                encode(&aggregated_groups(true)),
            ));
        }
        ["apis"] if aggregated => {
            return Ok(Answer::new(
                200,
                AGGREGATED,
                encode(&aggregated_groups(false)),
            ));
        }
        ["api"] => json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:443"}],
        }),
        ["apis"] => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": named_groups()}),
        ["openapi", "v3", parts @ ..] => openapi::answer(parts)?,
        ["api", version] => resources("", version)?,
        ["apis", group] => group_of(group)?,
        ["apis", group, version] => resources(group, version)?,
        _ => return Err(Failure::no_such_path()),
    };
    Ok(Answer::value(200, &value))
}

fn is_aggregated(range: &str) -> bool {
    let parameters: Vec<_> = range.split(';').map(str::trim).collect();
    parameters.contains(&"as=APIGroupDiscoveryList") && parameters.contains(&"v=v2")
}

fn version(options: &Options) -> Value {
    let numbers = options.git_version.trim_start_matches('v');
    let mut numbers = numbers.split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
    json!({
        "major": major, "minor": minor, "gitVersion": options.git_version,
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none",
        "compiler": "rustc", "platform": platform(),
    })
}

/// As Go names it.
fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}

fn named_groups() -> Vec<Value> {
    let groups = registry::groups()
        .into_iter()
        .filter(|(group, _)| !group.is_empty());
    groups
        .map(|(group, versions)| group_value(group, &versions))
        .collect()
}

fn group_value(group: &str, versions: &[&str]) -> Value {
    let versions: Vec<_> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions[0]})
}

fn group_of(group: &str) -> Result<Value, Failure> {
    let known = registry::groups()
        .into_iter()
        .find(|(name, _)| *name == group && !group.is_empty());
    let (group, versions) = known.ok_or_else(Failure::no_such_path)?;
    let mut value = group_value(group, &versions);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    Ok(value)
}

fn of(group: &str, version: &str) -> impl Iterator<Item = &'static Resource> {
    RESOURCES
        .iter()
        .copied()
        .filter(move |resource| resource.group == group && resource.version == version)
}

fn reviews(group: &str) -> &'static [(&'static str, &'static str)] {
    if group == "authorization.k8s.io" {
        &REVIEWS
    } else {
        &[]
    }
}

/// `APIResourceList` of one group and version.
fn resources(group: &str, version: &str) -> Result<Value, Failure> {
    let mut list: Vec<Value> = of(group, version).flat_map(api_resources).collect();
    list.extend(reviews(group).iter().map(|(plural, kind)| {
        json!({"name": plural, "singularName": "", "namespaced": false, "kind": kind, "verbs": ["create"]})
    }));
    if list.is_empty() {
        return Err(Failure::no_such_path());
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list,
    }))
}

fn api_resources(resource: &Resource) -> Vec<Value> {
    let mut main = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": VERBS,
    });
    if !resource.short_names.is_empty() {
        main["shortNames"] = json!(resource.short_names);
    }
    if resource.in_all() {
        main["categories"] = json!(["all"]);
    }
    let subresource = |name: &str, kind: &str, verbs: &[&str]| {
        json!({
            "name": format!("{}/{name}", resource.plural), "singularName": "", "namespaced": resource.namespaced,
            "kind": kind, "verbs": verbs,
        })
    };
    let status = resource
        .status
        .then(|| subresource("status", resource.kind, &STATUS_VERBS));
    let others = resource
        .subresources
        .iter()
        .map(|(name, kind, verbs)| subresource(name, kind, verbs));
    [main].into_iter().chain(status).chain(others).collect()
}

/// Everything at once, as newer clients ask for it: the core group, or all others.
fn aggregated_groups(core: bool) -> Value {
    let groups = registry::groups()
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core);
    let items: Vec<_> = groups
        .map(|(group, versions)| aggregated_group(group, &versions))
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_group(group: &str, versions: &[&str]) -> Value {
    let versions: Vec<_> = versions
        .iter()
        .map(|version| {
            let mut list: Vec<_> = of(group, version).map(aggregated_resource).collect();
            list.extend(reviews(group).iter().map(|(plural, kind)| {
                json!({
                    "resource": plural, "scope": "Cluster", "verbs": ["create"], "singularResource": "",
                    "responseKind": {"group": group, "version": version, "kind": kind},
                })
            }));
            json!({"version": version, "freshness": "Current", "resources": list})
        })
        .collect();
    let metadata = if group.is_empty() {
        json!({})
    } else {
        json!({"name": group})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind =
        |kind: &str| json!({"group": resource.group, "version": resource.version, "kind": kind});
    let status = resource.status.then(
        || json!({"subresource": "status", "responseKind": kind(resource.kind), "verbs": STATUS_VERBS}),
    );
    let others = resource
        .subresources
        .iter()
        .map(|(name, answered, verbs)| json!({"subresource": name, "responseKind": kind(answered), "verbs": verbs}));
    let subresources: Vec<_> = status.into_iter().chain(others).collect();
    let mut value = json!({
        "resource": resource.plural, "singularResource": resource.singular, "responseKind": kind(resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" }, "verbs": VERBS,
        "shortNames": resource.short_names,
    });
    if resource.in_all() {
        value["categories"] = json!(["all"]);
    }
    if !subresources.is_empty() {
        value["subresources"] = subresources.into();
    }
    value
}
