//! A KubeVirt installation on a real kube-apiserver, with doubles of those who would run it.
//!
//! What is real: the API server, its strategic merge, its defaults, its pod proxy, and each
//! `kubetoll-proxy`, which is started with the very arguments of the pod's sidecar. What is played:
//! virt-operator (applies `customizeComponents` as KubeVirt does), the workload controllers and the
//! kubelet (one pod a workload, at an address of this machine), and the components (a fixed number
//! of calls each, to where their pod says that the API server is).

mod nodes;
mod operator;

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use lab::real::RealCluster;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use self::{
    nodes::{Nodes, Pods},
    operator::{Applied, Operator},
};
use super::{podserver::PodServer, real, wait};

/// KubeVirt's namespace.
pub const NAMESPACE: &str = "kubevirt";
/// Where virt-operator's double lets the API server merge patches into the original.
const STRATEGY: &str = "strategy";
/// Calls of each component after its start.
pub const CALLS: u64 = 5;
/// Name and kind of each workload.
pub const WORKLOADS: [(&str, &str); 4] = [
    ("virt-api", "Deployment"),
    ("virt-handler", "DaemonSet"),
    ("virt-controller", "Deployment"),
    ("virt-operator", "Deployment"),
];

/// What goes wrong.
#[derive(Default)]
pub struct Faults {
    /// The component whose sidecar's image can't be pulled; none ever can that is called `missing`.
    pub no_image: Mutex<Option<&'static str>>,
    /// The component whose pods a quota refuses, once they have a sidecar.
    pub no_quota: Mutex<Option<&'static str>>,
    /// Components make no calls.
    pub silent: AtomicBool,
}

impl Faults {
    fn has_image(&self, component: &str, sidecar: &Value) -> bool {
        sidecar["image"] != "missing" && *self.no_image.lock().unwrap() != Some(component)
    }
}

/// The installation.
pub struct KubeVirt {
    pub cluster: RealCluster,
    pub client: Client,
    pub faults: Arc<Faults>,
    /// Tokens by namespace and name of the service account.
    pub tokens: BTreeMap<(String, String), String>,
    pods: Pods,
    operator: Arc<Operator>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for KubeVirt {
    fn drop(&mut self) {
        self.stop_doubles();
    }
}

impl KubeVirt {
    /// Installs it with this `spec` of the KubeVirt object; `None` where Go is missing and may be.
    pub async fn install(spec: Value) -> Option<Self> {
        Self::install_on(spec, 1).await
    }

    /// The same on `nodes` nodes.
    pub async fn install_on(spec: Value, nodes: usize) -> Option<Self> {
        identity::install_provider();
        let cluster = RealCluster::start(real::assets()?, &[]).await.unwrap();
        let tokens = cluster.prepare_kubevirt(&[]).await.unwrap();
        let client = cluster.admin_client().unwrap();
        let namespace = json!({"metadata": {"name": STRATEGY}});
        create(&client, "", "Namespace", namespace).await;
        create(
            &client,
            NAMESPACE,
            "KubeVirt",
            json!({"metadata": {"name": "kubevirt"}, "spec": spec}),
        )
        .await;
        let mut originals = BTreeMap::new();
        for (name, kind) in WORKLOADS {
            let made = create(&client, NAMESPACE, kind, workload(name, kind)).await;
            create(&client, STRATEGY, kind, workload(name, kind)).await;
            originals.insert(name, made["spec"].clone());
        }
        let faults = Arc::new(Faults::default());
        let applied = Applied::default();
        let operator = Arc::new(Operator {
            client: client.clone(),
            originals,
            applied: Arc::clone(&applied),
        });
        let pods = Pods::default();
        let doubled = (client.clone(), Arc::clone(&faults), Arc::clone(&pods));
        let nodes = Nodes::new(&cluster, doubled.0, doubled.1, nodes, doubled.2);
        let tasks = vec![
            tokio::spawn(Arc::clone(&operator).run()),
            tokio::spawn(nodes.run()),
        ];
        Some(Self {
            cluster,
            client,
            faults,
            tokens,
            pods,
            operator,
            tasks,
        })
    }

    /// Another process for the proxy of a pod, as after a crash. The kubelet says so when it is
    /// told to.
    pub fn restart_proxy(&self, pod: &str) {
        let mut pods = self.pods.lock().unwrap();
        let mut all = pods.values_mut().flatten();
        all.find(|one| one.has_name(pod)).unwrap().restart_proxy();
    }

    /// Ends the proxy of a pod, and leaves the pod.
    pub fn stop_proxy(&self, pod: &str) {
        let mut pods = self.pods.lock().unwrap();
        let mut all = pods.values_mut().flatten();
        all.find(|one| one.has_name(pod)).unwrap().stop_proxy();
    }

    /// Deletes an object whose kubelet says at once that it ended.
    pub async fn delete_at_once(&self, kind: &str, name: &str) {
        let api = api(&self.client, NAMESPACE, kind);
        let at_once = DeleteParams::default().grace_period(0);
        api.delete(name, &at_once).await.unwrap();
    }

    /// Changes the status of an object by a merge patch.
    pub async fn merge_status(&self, kind: &str, name: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        let api = api(&self.client, NAMESPACE, kind);
        api.patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Makes `nodes` nodes, or changes those that are there, so that this kubelet is theirs.
    pub async fn use_kubelet(&self, nodes: usize, kubelet: &PodServer) {
        let port: i32 = kubelet.url.rsplit(':').next().unwrap().parse().unwrap();
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }});
        let all = api(&self.client, "", "Node");
        for name in (1..=nodes).map(|number| format!("lab-node-{number}")) {
            if all.get_opt(&name).await.unwrap().is_none() {
                let node = json!({"metadata": {"name": name}});
                create(&self.client, "", "Node", node).await;
            }
            all.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                .await
                .unwrap();
        }
    }

    /// The pods of a component, by name.
    pub async fn pods_of(&self, component: &str) -> Vec<Value> {
        let selector = ListParams::default().labels(&format!("kubevirt.io={component}"));
        let pods = api(&self.client, NAMESPACE, "Pod").list(&selector).await;
        let pods = pods.unwrap().items.into_iter();
        let mut pods: Vec<Value> = pods.map(|pod| serde_json::to_value(pod).unwrap()).collect();
        pods.sort_by_key(|pod| pod["metadata"]["name"].to_string());
        pods
    }

    /// What virt-operator's double makes of a workload. Nobody may play meanwhile.
    pub async fn customized(&self, name: &str, kind: &str, customization: &Value) -> Value {
        self.operator.wanted(name, kind, customization).await
    }

    /// A workload's `spec` with the API server's defaults. Nobody may play meanwhile.
    pub async fn stored(&self, name: &str, kind: &str, spec: &Value) -> Value {
        self.operator.stored(name, kind, spec).await
    }

    /// Nobody plays from here on.
    pub fn stop_doubles(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }

    /// Reads an object; null if there is none.
    pub async fn get(&self, kind: &str, name: &str) -> Value {
        let found = api(&self.client, NAMESPACE, kind).get_opt(name).await;
        serde_json::to_value(found.unwrap()).unwrap()
    }

    /// Changes an object by a merge patch.
    pub async fn merge(&self, kind: &str, name: &str, patch: Value) {
        let api = api(&self.client, NAMESPACE, kind);
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Deletes an object.
    pub async fn delete(&self, kind: &str, name: &str) {
        let api = api(&self.client, NAMESPACE, kind);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// The `spec` of the KubeVirt object and of all workloads.
    pub async fn specs(&self) -> Vec<Value> {
        let mut specs = vec![self.get("KubeVirt", "kubevirt").await["spec"].clone()];
        for (name, kind) in WORKLOADS {
            specs.push(self.get(kind, name).await["spec"].clone());
        }
        specs
    }

    /// Waits until all workloads are as the KubeVirt object says, and pods as their workloads.
    pub async fn settle(&self) {
        wait::until("workloads as the KubeVirt object says", async || {
            let kubevirt = self.get("KubeVirt", "kubevirt").await;
            let wanted = &kubevirt["spec"]["customizeComponents"];
            let mut done = self.operator.applied.lock().unwrap().as_ref() == Some(wanted);
            for (name, kind) in WORKLOADS {
                let workload = self.get(kind, name).await;
                done &=
                    workload["status"]["observedGeneration"] == workload["metadata"]["generation"];
            }
            done
        })
        .await;
    }
}

/// A workload as KubeVirt's manifests have it, without what does not matter here.
pub fn workload(name: &str, kind: &str) -> Value {
    let labels = json!({"kubevirt.io": name, "prometheus.kubevirt.io": "true"});
    let mut spec = json!({
        "selector": {"matchLabels": {"kubevirt.io": name}},
        "template": {
            "metadata": {"labels": labels, "annotations": {"openshift.io/required-scc": "restricted-v2"}},
            "spec": {
                "serviceAccountName": name,
                "containers": [{
                    "name": name, "image": "quay.io/kubevirt/component:v1", "command": [name],
                    "args": ["-v", "2"],
                    "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                    "ports": [{"name": "metrics", "containerPort": 8443}],
                    "volumeMounts": [{"name": "certificates", "mountPath": "/etc/virt/certificates"}],
                }],
                "volumes": [{"name": "certificates", "emptyDir": {}}],
            },
        },
    });
    if kind == "DaemonSet" {
        spec["template"]["spec"]["initContainers"] =
            json!([{"name": "virt-launcher", "image": "quay.io/kubevirt/virt-launcher:v1"}]);
    }
    json!({"metadata": {"name": name, "labels": {"kubevirt.io": name}}, "spec": spec})
}

/// The first of six ports that were free a moment ago, a pair for each of three pods, below those
/// that the system gives to clients.
pub fn free_ports() -> u16 {
    let is_free = |port: u16| std::net::TcpListener::bind(("0.0.0.0", port)).is_ok();
    loop {
        let port = rand::random_range(20_000..30_000);
        if (port..port + 6).all(is_free) {
            return port;
        }
    }
}

/// Objects of a kind in a namespace.
pub fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = match kind {
        "KubeVirt" => ("kubevirt.io", "v1"),
        "Deployment" | "DaemonSet" => ("apps", "v1"),
        "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => {
            ("rbac.authorization.k8s.io", "v1")
        }
        _ => ("", "v1"),
    };
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: format!("{group}/{version}")
            .trim_start_matches('/')
            .to_owned(),
        kind: kind.to_owned(),
        plural: kind.to_lowercase() + "s",
    };
    if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

/// Creates an object; gives it as the API server has it.
pub async fn create(client: &Client, namespace: &str, kind: &str, mut object: Value) -> Value {
    let api = api(client, namespace, kind);
    object["kind"] = json!(kind);
    object["apiVersion"] = json!(api_version(kind));
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let created = api.create(&PostParams::default(), &object).await.unwrap();
    serde_json::to_value(created).unwrap()
}

fn api_version(kind: &str) -> &'static str {
    match kind {
        "KubeVirt" => "kubevirt.io/v1",
        "Deployment" | "DaemonSet" => "apps/v1",
        "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => {
            "rbac.authorization.k8s.io/v1"
        }
        _ => "v1",
    }
}

/// Runs `kubetoll` to its end.
pub fn kubetoll(kubeconfig: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubetoll"));
    let output = command
        .args(arguments)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .output()
        .unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output
}
