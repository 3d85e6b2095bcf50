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
use serde_json::{Value, json};

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
    pub(super) async fn run(self) {
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

    /// The API server does the merging, on an object that nobody runs.
    async fn wanted(&self, name: &str, kind: &str, customization: &Value) -> Value {
        let api = api(&self.client, STRATEGY, kind);
        let mut shadow = api.get(name).await.unwrap();
        shadow.data["spec"] = self.originals[name].clone();
        api.replace(name, &PostParams::default(), &shadow)
            .await
            .unwrap();
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
}

/// The patches for a workload: type and content, the shortest first, flags last.
fn patches(name: &str, kind: &str, customization: &Value) -> Vec<(String, Value)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = customization["patches"].as_array().cloned();
    let mut all = all.unwrap_or_default();
    all.sort_by_key(|patch| text(&patch["patch"]).len());
    all.retain(|patch| {
        let wanted = text(&patch["resourceName"]);
        patch["resourceType"] == kind && (wanted == "*" || wanted.eq_ignore_ascii_case(name))
    });
    let mut patches: Vec<_> = all
        .iter()
        .map(|patch| {
            let content = serde_json::from_str(&text(&patch["patch"])).unwrap();
            (text(&patch["type"]), content)
        })
        .collect();
    let section = name.trim_start_matches("virt-");
    let flags = customization["flags"][section].as_object();
    if let Some(flags) = flags.filter(|flags| !flags.is_empty()) {
        let mut command = vec![name.to_owned()];
        for (flag, value) in flags {
            command.push(format!("--{}", flag.to_lowercase()));
            command.push(text(value).to_lowercase());
        }
        let containers = json!([{"name": name, "command": command}]);
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        patches.push(("strategic".to_owned(), patch));
    }
    patches
}
