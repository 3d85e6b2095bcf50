//! Pod templates: what they have of ours, and what they are without it.

use serde_json::Value;

use super::{
    component::Component,
    marks::{
        CLIENT_VOLUME, COMPONENT_ANNOTATION, DIGEST_ANNOTATION, KUBECONFIG_ANNOTATION,
        SERVICE_ACCOUNT, SIDECAR, SINCE_ANNOTATION, TLS_VOLUME,
    },
};

/// The variables that lead an in-cluster client.
const VARIABLES: [&str; 2] = ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"];

/// The proxy's container in a pod template, or in a pod.
pub fn sidecar(template: &Value) -> Option<&Value> {
    let containers = template["spec"]["initContainers"].as_array()?;
    containers
        .iter()
        .find(|container| container["name"] == SIDECAR)
}

/// An annotation of a pod template, or of a pod.
pub fn annotation<'t>(template: &'t Value, name: &str) -> Option<&'t str> {
    template["metadata"]["annotations"][name].as_str()
}

/// Why a proxy can't be put beside the component of this template, if so. What an earlier attach
/// has put there is no reason.
pub fn obstacle(template: &Value, component: Component, port: u16) -> Option<String> {
    let bare = stripped(template, component);
    if bare["spec"]["hostNetwork"] == true {
        return Some(format!(
            "its pods use the network of their node, where ports {port} and {} would be the \
             node's and open to everybody on it; put a proxy in front of it by hand",
            port + 1
        ));
    }
    let Some(container) = container(&bare, component) else {
        return Some(format!("it has no container {}", component.name()));
    };
    let env = container["env"].as_array().into_iter().flatten();
    let set = env
        .filter_map(|variable| variable["name"].as_str())
        .find(|name| VARIABLES.contains(name));
    if let Some(name) = set {
        return Some(format!(
            "{name} is set already: somebody else leads it elsewhere"
        ));
    }
    let mut mounts = container["volumeMounts"].as_array().into_iter().flatten();
    if mounts.any(|mount| mount["mountPath"] == SERVICE_ACCOUNT) {
        return Some("its service account volume is replaced already".to_owned());
    }
    taken_port(&bare, port)
        .map(|taken| format!("port {taken} is in use in its pods: choose others with --port"))
}

/// A template without anything of ours, with our patch: what the API server's strategic merge makes
/// of the two.
pub fn attached(template: &Value, component: Component, patch: &Value) -> Value {
    let mut new = template.clone();
    let ours = &patch["spec"]["template"];
    if let Some(annotations) = ours["metadata"]["annotations"].as_object() {
        for (name, value) in annotations {
            new["metadata"]["annotations"][name] = value.clone();
        }
    }
    for list in ["initContainers", "volumes"] {
        prepend(&mut new["spec"], list, &ours["spec"][list]);
    }
    let containers = new["spec"]["containers"]
        .as_array_mut()
        .into_iter()
        .flatten();
    for container in containers.filter(|container| container["name"] == component.name()) {
        for list in ["env", "volumeMounts"] {
            prepend(container, list, &ours["spec"]["containers"][0][list]);
        }
    }
    new
}

/// The template without anything of ours.
pub fn stripped(template: &Value, component: Component) -> Value {
    let mut bare = template.clone();
    if let Some(Value::Object(annotations)) = bare.pointer_mut("/metadata/annotations") {
        for name in [
            COMPONENT_ANNOTATION,
            DIGEST_ANNOTATION,
            SINCE_ANNOTATION,
            KUBECONFIG_ANNOTATION,
        ] {
            annotations.remove(name);
        }
    }
    drop_empty(&mut bare["metadata"], "annotations");
    let is_led_by_environment =
        sidecar(template).is_some() && annotation(template, KUBECONFIG_ANNOTATION).is_none();
    let spec = &mut bare["spec"];
    retain(spec, "initContainers", |container| {
        container["name"] != SIDECAR
    });
    retain(spec, "volumes", |volume| {
        volume["name"] != TLS_VOLUME && volume["name"] != CLIENT_VOLUME
    });
    let containers = spec["containers"].as_array_mut().into_iter().flatten();
    let own = containers.filter(|container| container["name"] == component.name());
    for container in own {
        retain(container, "volumeMounts", |mount| {
            mount["name"] != CLIENT_VOLUME
        });
        if is_led_by_environment {
            retain(container, "env", |variable| {
                !VARIABLES.iter().any(|name| variable["name"] == *name)
            });
        }
    }
    bare
}

/// What of our patch a template does not have, or has otherwise. What the API server or others have
/// added is no difference.
pub fn lacking(template: &Value, component: Component, patch: &Value) -> Vec<&'static str> {
    let (there, ours) = (&template["spec"], &patch["spec"]["template"]["spec"]);
    let own = &ours["containers"][0];
    let client = container(template, component).unwrap_or(&Value::Null);
    let pieces = [
        (
            "the proxy's container",
            &there["initContainers"],
            &ours["initContainers"],
        ),
        ("environment", &client["env"], &own["env"]),
        ("mounts", &client["volumeMounts"], &own["volumeMounts"]),
        ("volumes", &there["volumes"], &ours["volumes"]),
    ];
    let lacking = pieces
        .into_iter()
        .filter(|(_, there, ours)| !holds(there, ours));
    lacking.map(|(piece, ..)| piece).collect()
}

/// Whether all of `part` is in `whole`: fields by name, items of a list that have names by these.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (_, Value::Null) => true,
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(key, part)| whole.get(key).is_some_and(|whole| holds(whole, part))),
        (Value::Array(whole), Value::Array(part)) => {
            let is_named = part.iter().all(|item| item["name"].is_string());
            let held = |item: &Value| {
                let mut named = whole.iter().filter(|other| other["name"] == item["name"]);
                named.next().is_some_and(|other| holds(other, item))
            };
            if is_named {
                part.iter().all(held)
            } else {
                whole.len() == part.len() && whole.iter().zip(part).all(|(a, b)| holds(a, b))
            }
        }
        (whole, part) => whole == part,
    }
}

fn container(template: &Value, component: Component) -> Option<&Value> {
    let containers = template["spec"]["containers"].as_array()?;
    containers
        .iter()
        .find(|container| container["name"] == component.name())
}

fn taken_port(template: &Value, port: u16) -> Option<u64> {
    let spec = &template["spec"];
    let containers = ["initContainers", "containers"]
        .into_iter()
        .filter_map(|list| spec[list].as_array())
        .flatten();
    containers
        .filter_map(|container| container["ports"].as_array())
        .flatten()
        .filter_map(|declared| declared["containerPort"].as_u64())
        .find(|taken| [u64::from(port), u64::from(port) + 1].contains(taken))
}

/// Puts items before those of a list, which need not be there.
fn prepend(object: &mut Value, key: &str, items: &Value) {
    let Some(items) = items.as_array() else {
        return;
    };
    let old = object[key].as_array().into_iter().flatten();
    object[key] = items.iter().chain(old).cloned().collect();
}

/// Keeps items of a list; an emptied list goes, as the API server would not store it.
fn retain(object: &mut Value, key: &str, keep: impl Fn(&Value) -> bool) {
    if let Some(Value::Array(items)) = object.get_mut(key) {
        items.retain(keep);
    }
    drop_empty(object, key);
}

fn drop_empty(object: &mut Value, key: &str) {
    let Value::Object(fields) = object else {
        return;
    };
    let is_empty = match fields.get(key) {
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(items)) => items.is_empty(),
        _ => false,
    };
    if is_empty {
        fields.remove(key);
    }
}
