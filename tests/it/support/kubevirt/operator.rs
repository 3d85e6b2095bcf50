//! virt-operator's double: applies `customizeComponents` as KubeVirt does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures_util::{StreamExt, stream};
use kube::{
    Client,
    api::{Patch, PatchParams, PostParams},
    runtime::watcher,
};
use serde_json::{Map, Value, json};

use super::{NAMESPACE, STRATEGY, WORKLOADS, api};

/// virt-operator's double.
pub(super) struct Operator {
    pub(super) client: Client,
    pub(super) originals: BTreeMap<&'static str, Value>,
    pub(super) applied: Applied,
}

/// The customization that all workloads have.
pub(super) type Applied = Arc<Mutex<Option<Value>>>;

impl Operator {
    pub(super) async fn run(self: Arc<Self>) {
        let kinds = ["KubeVirt", "Deployment", "DaemonSet"];
        let watches = kinds.map(|kind| {
            let api = api(&self.client, NAMESPACE, kind);
            watcher(api, watcher::Config::default()).boxed()
        });
        let mut events = stream::select_all(watches);
        while events.next().await.is_some() {
            let kubevirt = api(&self.client, NAMESPACE, "KubeVirt")
                .get("kubevirt")
                .await;
            let kubevirt = kubevirt.unwrap();
            let customization = kubevirt.data["spec"]["customizeComponents"].clone();
            let mut done = true;
            for (name, kind) in WORKLOADS {
                if name != "virt-operator" {
                    done &= self.sync(name, kind, &customization).await;
                }
            }
            *self.applied.lock().unwrap() = done.then_some(customization);
        }
    }

    /// The original with the patches, and nothing that anybody else has changed. Whether the
    /// workload is so now.
    async fn sync(&self, name: &str, kind: &str, customization: &Value) -> bool {
        let wanted = self.wanted(name, kind, customization).await;
        let api = api(&self.client, NAMESPACE, kind);
        let mut live = api.get(name).await.unwrap();
        if live.data["spec"] == wanted {
            return true;
        }
        live.data["spec"] = wanted;
        // If somebody else was faster there will be another event.
        let replaced = api.replace(name, &PostParams::default(), &live).await;
        replaced.is_ok()
    }

    /// What virt-operator makes the first time that it looks (later it applies the patches to what
    /// it has made). The API server does the merging, on an object that nobody runs.
    pub(super) async fn wanted(&self, name: &str, kind: &str, customization: &Value) -> Value {
        self.stored(name, kind, &self.originals[name]).await;
        let api = api(&self.client, STRATEGY, kind);
        let params = PatchParams::default();
        for (form, patch) in patches(name, kind, customization) {
            let patched = match form.as_str() {
                "strategic" => api.patch(name, &params, &Patch::Strategic(patch)).await,
                "merge" => api.patch(name, &params, &Patch::Merge(patch)).await,
                "json" => {
                    let operations = serde_json::from_value(patch).unwrap();
                    api.patch(name, &params, &Patch::<()>::Json(operations))
                        .await
                }
                other => panic!("no test uses patches of type {other}"),
            };
            patched.unwrap();
        }
        api.get(name).await.unwrap().data["spec"].clone()
    }

    /// A `spec` as the API server has it, with its defaults.
    pub(super) async fn stored(&self, name: &str, kind: &str, spec: &Value) -> Value {
        let api = api(&self.client, STRATEGY, kind);
        let mut shadow = api.get(name).await.unwrap();
        shadow.data["spec"] = spec.clone();
        let stored = api.replace(name, &PostParams::default(), &shadow).await;
        stored.unwrap().data["spec"].clone()
    }
}

/// The patches for a workload: type and content, the shortest first, flags last.
fn patches(name: &str, kind: &str, customization: &Value) -> Vec<(String, Value)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_named = |pattern: &Value, name: &str| {
        let pattern = text(pattern);
        pattern == "*" || pattern.eq_ignore_ascii_case(name)
    };
    let all = customization["patches"].as_array().cloned();
    let mut all = all.unwrap_or_default();
    all.sort_by_key(|patch| text(&patch["patch"]).len());
    all.retain(|patch| {
        is_named(&patch["resourceType"], kind) && is_named(&patch["resourceName"], name)
    });
    let own = all.iter().map(|patch| {
        let content = serde_json::from_str(&text(&patch["patch"])).unwrap();
        (text(&patch["type"]), content)
    });
    let section = name.trim_start_matches("virt-");
    let flags = of_flags(name, customization["flags"][section].as_object());
    own.chain(flags).collect()
}

/// The patch that a component's flags become.
fn of_flags(name: &str, flags: Option<&Map<String, Value>>) -> Option<(String, Value)> {
    let flags = flags.filter(|flags| !flags.is_empty())?;
    let mut command = vec![name.to_owned()];
    for (flag, value) in flags {
        let flag = format!("--{}", flag.to_lowercase());
        match value.as_str().unwrap_or_default().to_lowercase() {
            none if none.is_empty() => command.push(flag),
            truth if truth == "true" || truth == "false" => command.push(format!("{flag}={truth}")),
            other => command.extend([flag, other]),
        }
    }
    let containers = json!([{"name": name, "command": command}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    Some(("strategic".to_owned(), patch))
}
