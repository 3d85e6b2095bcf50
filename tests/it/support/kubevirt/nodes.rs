//! The doubles of the workload controllers, of a kubelet, and of the components.

use std::{
    collections::BTreeMap,
    net::{IpAddr, UdpSocket},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{StreamExt, stream};
use kube::{
    Client, Config,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::watcher,
};
use lab::real::RealCluster;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::{CALLS, Faults, NAMESPACE, WORKLOADS, api, create};
use crate::kit::built::kubetoll_proxy;

/// Running pods by their workload.
pub(super) type Pods = Arc<Mutex<BTreeMap<String, Vec<Pod>>>>;

/// The doubles of the workload controllers and of a kubelet.
pub(super) struct Nodes {
    client: Client,
    url: String,
    ca: String,
    token: String,
    address: IpAddr,
    faults: Arc<Faults>,
    count: usize,
    pods: Pods,
}

/// A running pod: its proxy, if it has one.
pub(super) struct Pod {
    name: String,
    proxy: Option<Proxy>,
}

/// A running proxy, and what started it.
struct Proxy {
    command: Command,
    child: Child,
    _files: TempDir,
}

impl Pod {
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.name == name
    }

    pub(super) fn stop_proxy(&mut self) {
        self.proxy = None;
    }

    /// Another process with the same arguments.
    pub(super) fn restart_proxy(&mut self) {
        let proxy = self.proxy.as_mut().unwrap();
        proxy.child.kill().unwrap();
        proxy.child.wait().unwrap();
        proxy.child = proxy.command.spawn().unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nodes {
    /// `count` nodes, each with a pod of every DaemonSet.
    pub(super) fn new(
        cluster: &RealCluster,
        client: Client,
        faults: Arc<Faults>,
        count: usize,
        pods: Pods,
    ) -> Self {
        Self {
            client,
            url: cluster.url(),
            ca: cluster.ca_pem(),
            token: cluster.admin_token().to_owned(),
            address: own_address(),
            faults,
            count,
            pods,
        }
    }

    pub(super) async fn run(mut self) {
        let watches = ["Deployment", "DaemonSet"].map(|kind| {
            let api = api(&self.client, NAMESPACE, kind);
            watcher(api, watcher::Config::default()).boxed()
        });
        let mut events = stream::select_all(watches);
        while events.next().await.is_some() {
            for (name, kind) in WORKLOADS {
                let workload = api(&self.client, NAMESPACE, kind).get(name).await.unwrap();
                let workload = serde_json::to_value(workload).unwrap();
                let generation = &workload["metadata"]["generation"];
                if workload["status"]["observedGeneration"] != *generation {
                    self.roll(name, kind, &workload).await;
                }
            }
        }
    }

    /// The old pods go, the new ones come, and the status says so.
    async fn roll(&mut self, name: &str, kind: &str, workload: &Value) {
        let old = self.pods.lock().unwrap().remove(name);
        for old in old.into_iter().flatten() {
            let pods = api(&self.client, NAMESPACE, "Pod");
            let at_once = DeleteParams::default().grace_period(0);
            pods.delete(&old.name, &at_once).await.unwrap();
        }
        let template = &workload["spec"]["template"];
        let generation = &workload["metadata"]["generation"];
        if sidecar(template).is_some() && *self.faults.no_quota.lock().unwrap() == Some(name) {
            return self.refuse_pods(kind, name, generation).await;
        }
        let is_stuck =
            sidecar(template).is_some_and(|sidecar| !self.faults.has_image(name, sidecar));
        let count = if kind == "DaemonSet" { self.count } else { 1 };
        let mut pods = Vec::new();
        for number in 1..=count {
            let pod = match number {
                1 => format!("{name}-{generation}"),
                _ => format!("{name}-{generation}-{number}"),
            };
            let place = (pod, number);
            pods.push(self.start_pod(place, name, template, is_stuck).await);
        }
        self.pods.lock().unwrap().insert(name.to_owned(), pods);
        let new = if is_stuck { 0 } else { count };
        let status = match kind {
            "Deployment" => json!({
                "observedGeneration": generation, "replicas": 1, "updatedReplicas": new,
                "readyReplicas": new, "availableReplicas": new, "conditions": [],
            }),
            _ => json!({
                "observedGeneration": generation, "desiredNumberScheduled": count,
                "currentNumberScheduled": count, "updatedNumberScheduled": new, "numberMisscheduled": 0,
                "numberReady": new, "numberAvailable": new,
            }),
        };
        self.set_status(kind, name, status).await;
    }

    /// What a workload controller says whose pods a quota refuses: a Deployment in its conditions, a
    /// DaemonSet in an event only.
    async fn refuse_pods(&self, kind: &str, name: &str, generation: &Value) {
        let message = format!(
            "pods \"{name}-{generation}\" is forbidden: failed quota: limits: must specify \
             limits.cpu for: kubetoll-proxy"
        );
        let status = if kind == "Deployment" {
            json!({"observedGeneration": generation, "conditions": [{
                "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                "message": message,
            }]})
        } else {
            let event = json!({
                "metadata": {"name": format!("{name}.{generation}")}, "type": "Warning",
                "involvedObject": {"kind": kind, "name": name, "namespace": NAMESPACE},
                "reason": "FailedCreate", "message": message,
                "lastTimestamp": "2025-01-02T03:04:05Z",
            });
            create(&self.client, NAMESPACE, "Event", event).await;
            json!({
                "observedGeneration": generation, "desiredNumberScheduled": self.count,
                "currentNumberScheduled": 0, "updatedNumberScheduled": 0, "numberMisscheduled": 0,
                "numberReady": 0, "numberAvailable": 0,
            })
        };
        self.set_status(kind, name, status).await;
    }

    async fn start_pod(
        &self,
        (pod, node): (String, usize),
        name: &str,
        template: &Value,
        is_stuck: bool,
    ) -> Pod {
        let mut object = json!({"metadata": template["metadata"], "spec": template["spec"]});
        object["metadata"]["name"] = json!(pod);
        object["spec"]["nodeName"] = json!(format!("lab-node-{node}"));
        give_ports_of_its_own(&mut object, node);
        let object = create(&self.client, NAMESPACE, "Pod", object).await;
        let pod = pod.as_str();
        let mut running = Pod {
            name: pod.to_owned(),
            proxy: None,
        };
        if is_stuck {
            let waiting = json!({"waiting": {"reason": "ImagePullBackOff"}});
            let status = json!({"initContainerStatuses": [{
                "name": "kubetoll-proxy", "image": "", "imageID": "", "ready": false,
                "restartCount": 0, "state": waiting,
            }]});
            self.set_status("Pod", pod, status).await;
            return running;
        }
        let mut status = json!({
            "phase": "Running", "podIP": self.address, "podIPs": [{"ip": self.address}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [container_status(name)],
        });
        if let Some(sidecar) = sidecar(&object) {
            running.proxy = Some(self.start_proxy(sidecar).await);
            status["initContainerStatuses"] = json!([container_status("kubetoll-proxy")]);
            if !self.faults.silent.load(Ordering::Relaxed) {
                self.call(name, &object).await;
            }
        }
        self.set_status("Pod", pod, status).await;
        running
    }

    /// A real proxy with the sidecar's own arguments: only the mounted folder is elsewhere, and
    /// the lab's API server is where `in-cluster` would be.
    async fn start_proxy(&self, sidecar: &Value) -> Proxy {
        let files = tempfile::tempdir().unwrap();
        let secrets = api(&self.client, NAMESPACE, "Secret");
        let secret = secrets.get("kubetoll-proxy-tls").await.unwrap();
        for (key, content) in secret.data["data"].as_object().unwrap() {
            let content = STANDARD.decode(content.as_str().unwrap()).unwrap();
            std::fs::write(files.path().join(key), content).unwrap();
        }
        let ca = files.path().join("cluster-ca.crt");
        std::fs::write(&ca, &self.ca).unwrap();
        let mounted = sidecar["volumeMounts"][0]["mountPath"].as_str().unwrap();
        let mut command = Command::new(kubetoll_proxy());
        for argument in sidecar["args"].as_array().unwrap() {
            let argument = argument.as_str().unwrap();
            match argument {
                "--upstream=in-cluster" => command
                    .args(["--upstream", &self.url, "--upstream-ca"])
                    .arg(&ca),
                _ => command.arg(argument.replace(mounted, &files.path().display().to_string())),
            };
        }
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        self.wait_for_probe(sidecar).await;
        Proxy {
            command,
            child,
            _files: files,
        }
    }

    /// What the kubelet does with the startup probe.
    async fn wait_for_probe(&self, sidecar: &Value) {
        let probe = &sidecar["startupProbe"]["httpGet"];
        let ports = sidecar["ports"].as_array().unwrap();
        let port = ports
            .iter()
            .find(|port| port["name"] == probe["port"])
            .unwrap();
        let port = port["containerPort"].as_u64().unwrap() as u16;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n",
            probe["path"].as_str().unwrap()
        );
        for _ in 0..sidecar["startupProbe"]["failureThreshold"]
            .as_u64()
            .unwrap()
            * 5
        {
            if let Ok(mut stream) = TcpStream::connect((self.address, port)).await {
                let mut answer = String::new();
                stream.write_all(request.as_bytes()).await.unwrap();
                let _ = stream.read_to_string(&mut answer).await;
                if answer.starts_with("HTTP/1.1 200") {
                    return;
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
        panic!("the proxy is not ready");
    }

    /// What the component does: calls to where its pod leads it, with the CA that its pod gives it.
    async fn call(&self, name: &str, pod: &Value) {
        let (server, config_map) = led_to(name, pod);
        let maps = api(&self.client, NAMESPACE, "ConfigMap");
        let ca = maps.get(&config_map).await.unwrap().data["data"]["ca.crt"].clone();
        let ca = CertificateDer::from_pem_slice(ca.as_str().unwrap().as_bytes()).unwrap();
        let mut config = Config::new(server.parse().unwrap());
        config.root_cert = Some(vec![ca.to_vec()]);
        config.auth_info.token = Some(self.token.clone().into());
        let client = Client::try_from(config).unwrap();
        for _ in 0..CALLS {
            let api = api(&client, NAMESPACE, "ConfigMap");
            api.list(&ListParams::default()).await.unwrap();
        }
    }

    async fn set_status(&self, kind: &str, name: &str, status: Value) {
        let api = api(&self.client, NAMESPACE, kind);
        let patch = Patch::Merge(json!({"status": status}));
        // A newer generation comes with an event of its own.
        let _ = api
            .patch_status(name, &PatchParams::default(), &patch)
            .await;
    }
}

/// All pods are on one machine here, where each port is there once.
fn give_ports_of_its_own(pod: &mut Value, node: usize) {
    let Some(proxy) = sidecar(pod) else {
        return;
    };
    let first = proxy["ports"][0]["containerPort"].as_u64().unwrap();
    let more = 2 * (node as u64 - 1);
    let mut text = pod.to_string();
    for port in [first + 1, first] {
        text = text.replace(&port.to_string(), &(port + more).to_string());
    }
    *pod = serde_json::from_str(&text).unwrap();
}

/// What the kubelet says of a container that runs.
fn container_status(name: &str) -> Value {
    json!({
        "name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"running": {"startedAt": "2025-01-02T03:04:05Z"}},
    })
}

/// The API server's address as a pod says it to its component, and the ConfigMap with the CA.
fn led_to(name: &str, pod: &Value) -> (String, String) {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let own = containers.iter().find(|one| one["name"] == name).unwrap();
    let env = |wanted: &str| {
        let all = own["env"].as_array().unwrap();
        all.iter()
            .find(|variable| variable["name"] == wanted)
            .map(|variable| variable["value"].as_str().unwrap().to_owned())
    };
    let server = match env("KUBERNETES_SERVICE_HOST").zip(env("KUBERNETES_SERVICE_PORT")) {
        Some((host, port)) => format!("https://{host}:{port}"),
        None => {
            let command = own["command"].to_string();
            assert!(command.contains("--kubeconfig"), "{command}");
            let text = &pod["metadata"]["annotations"]["kubetoll.dev/kubeconfig"];
            let kubeconfig: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
            let server = &kubeconfig["clusters"][0]["cluster"]["server"];
            server.as_str().unwrap().to_owned()
        }
    };
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let sources = volumes
        .iter()
        .filter_map(|volume| volume["projected"]["sources"].as_array());
    let map = sources
        .flatten()
        .find_map(|source| source["configMap"]["name"].as_str());
    (server, map.unwrap().to_owned())
}

fn sidecar(template: &Value) -> Option<&Value> {
    let containers = template["spec"]["initContainers"].as_array()?;
    containers
        .iter()
        .find(|one| one["name"] == "kubetoll-proxy")
}

/// An address of this machine that the API server's pod proxy may dial: not a loopback one. No
/// packet is sent to find it.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket
        .connect("192.0.2.1:9")
        .expect("this machine has an address that is not loopback");
    let address = socket.local_addr().unwrap().ip();
    assert!(!address.is_loopback(), "this machine has no other address");
    address
}
