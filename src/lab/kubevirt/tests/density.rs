//! Density runs: objects at a pause of 100 ms, until all run; then their deletion.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use serde_json::{Value, json};

use super::count::{Counts, Row};
use crate::lab::kubevirt::object::{Key, ObjectExt};
use crate::lab::kubevirt::resources::{INSTANCETYPES, PREFERENCES, VMIS, VMS};
use crate::lab::kubevirt::rest::Rest;
use crate::lab::kubevirt::{ComponentClients, Components, Options, VirtApi, prerequisites};

/// What the driver creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    Vmi,
    Vm,
    Instancetype,
}

/// The calls of both phases, and how long the create phase took until all ran.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) create: BTreeMap<Row, usize>,
    pub(super) delete: BTreeMap<Row, usize>,
    pub(super) until_running: Duration,
}

const NAMESPACE: &str = "density";
const PAUSE: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(120);
/// No call for this long, leases and heartbeats apart, ends a phase.
const QUIET: Duration = Duration::from_secs(2);

/// The components at one API server, and a driver.
pub(super) struct Lab {
    counts: Counts,
    components: Components,
    driver: Rest,
}

impl Lab {
    /// Creates the prerequisites and starts the components.
    pub(super) async fn start(client: &Client, options: &Options) -> Self {
        let counts = Counts::default();
        let driver = Rest::new(client.clone());
        for object in prerequisites(options) {
            create_if_missing(client, &object).await;
        }
        for name in ["density", "kube-system", "kube-node-lease"] {
            let namespace =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            create_if_missing(client, &namespace).await;
        }
        create_types(client).await;
        let handler = options.node_names().into_iter();
        let clients = ComponentClients {
            controller: counts.client("controller", client),
            api: counts.client("api", client),
            handler: handler
                .map(|node| (node, counts.client("handler", client)))
                .collect(),
            scheduler: counts.client("scheduler", client),
            kubelet: counts.client("kubelet", client),
        };
        let components = Components::start(clients, options);
        components.ready().await;
        Self {
            counts,
            components,
            driver,
        }
    }

    pub(super) fn virt_api(&self) -> Arc<VirtApi> {
        self.components.virt_api()
    }

    pub(super) async fn stop(&self) {
        self.components.stop().await;
    }

    /// Creates and deletes `count` objects.
    pub(super) async fn run(&self, scenario: Scenario, count: usize) -> Outcome {
        self.counts.take();
        let start = Instant::now();
        let (resource, prefix) = match scenario {
            Scenario::Vmi => (&VMIS, "testvmi"),
            Scenario::Vm => (&VMS, "testvm"),
            Scenario::Instancetype => (&VMS, "testit"),
        };
        let keys: Vec<Key> = (1..=count)
            .map(|number| Key::new(NAMESPACE, &format!("{prefix}-{number}")))
            .collect();
        for key in &keys {
            let object = object(scenario, &key.name);
            self.driver
                .create(resource, NAMESPACE, &object)
                .await
                .unwrap();
            tokio::time::sleep(PAUSE).await;
        }
        for key in &keys {
            self.until(key, |vmi| vmi.is_some_and(|phase| phase == "Running"))
                .await;
        }
        let until_running = start.elapsed();
        let create = self.settle().await;
        for key in &keys {
            self.driver.delete(resource, key, &json!({})).await.unwrap();
        }
        for key in &keys {
            self.until(key, |vmi| vmi.is_none()).await;
        }
        Outcome {
            create,
            delete: self.settle().await,
            until_running,
        }
    }

    async fn until(&self, key: &Key, reached: impl Fn(Option<String>) -> bool) {
        let start = Instant::now();
        loop {
            let phase = match self.driver.get(&VMIS, key).await {
                Ok(vmi) => Some(vmi.phase().to_owned()),
                Err(error) if error.code() == 404 => None,
                Err(error) => panic!("{error}"),
            };
            if reached(phase.clone()) {
                return;
            }
            assert!(start.elapsed() < LIMIT, "{key} is {phase:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The calls until the components have nothing more to do.
    async fn settle(&self) -> BTreeMap<Row, usize> {
        let mut all = BTreeMap::<Row, usize>::new();
        let mut last = Instant::now();
        while last.elapsed() < QUIET {
            for (row, count) in self.counts.take() {
                if !goes_by_time(&row) {
                    last = Instant::now();
                }
                *all.entry(row).or_default() += count;
            }
            tokio::time::sleep(PAUSE).await;
        }
        all
    }
}

/// Leases, heartbeats and watches come whether there is work or not.
pub(super) fn goes_by_time((_, verb, resource, _): &Row) -> bool {
    matches!(resource.as_str(), "leases" | "nodes") || matches!(verb.as_str(), "watch" | "list")
}

fn object(scenario: Scenario, name: &str) -> Value {
    if scenario == Scenario::Vmi {
        return json!({
            "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": guest(true),
        });
    }
    let sized = scenario == Scenario::Vm;
    let mut vm = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"runStrategy": "Always", "template": {"metadata": {}, "spec": guest(sized)}},
    });
    if !sized {
        vm["spec"]["instancetype"] = json!({"name": "small", "kind": "virtualmachineinstancetype"});
        vm["spec"]["preference"] = json!({"name": "pref", "kind": "virtualmachinepreference"});
    }
    vm
}

fn guest(sized: bool) -> Value {
    let mut spec = json!({
        "terminationGracePeriodSeconds": 0,
        "domain": {"devices": {
            "autoattachGraphicsDevice": false,
            "interfaces": [{"name": "default", "masquerade": {}}],
            "disks": [{"name": "disk0", "disk": {}}, {"name": "cloudinitdisk", "disk": {}}],
        }},
        "networks": [{"name": "default", "pod": {}}],
        "volumes": [
            {"name": "disk0", "containerDisk": {"image": "registry.lab/kubevirt/cirros:lab"}},
            {"name": "cloudinitdisk", "cloudInitNoCloud": {"userData": "#!/bin/sh\n"}},
        ],
    });
    if sized {
        let size = json!({"cpu": "100m", "memory": "90Mi"});
        spec["domain"]["resources"] = json!({"requests": size, "limits": size});
    }
    spec
}

async fn create_types(client: &Client) {
    let group = "instancetype.kubevirt.io/v1beta1";
    let instancetype = json!({
        "apiVersion": group, "kind": INSTANCETYPES.kind, "metadata": {"name": "small", "namespace": NAMESPACE},
        "spec": {"cpu": {"guest": 1}, "memory": {"guest": "90Mi"}},
    });
    let preference = json!({
        "apiVersion": group, "kind": PREFERENCES.kind, "metadata": {"name": "pref", "namespace": NAMESPACE},
        "spec": {"devices": {"preferredDiskBus": "virtio"}},
    });
    create_if_missing(client, &instancetype).await;
    create_if_missing(client, &preference).await;
}

async fn create_if_missing(client: &Client, object: &Value) {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let api_version = text("apiVersion");
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let kind = kube::core::GroupVersionKind::gvk(group, version, &text("kind"));
    let resource = kube::core::ApiResource::from_gvk(&kind);
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    match Rest::new(client.clone())
        .create(&resource, namespace, object)
        .await
    {
        Err(error) if error.code() != 409 => panic!("{error}"),
        _ => {}
    }
}
