//! kube-scheduler: gives each new pod the least loaded node that its node selector allows.
//!
//! Taints are not looked at: a lab has no controller that would take the not-ready taint from a new node.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::cache::{Cache, Change, Informer, all_synced};
use super::lease::{self, Lease};
use super::object::{Key, ObjectExt, trim_metadata};
use super::options::Options;
use super::queue::Queue;
use super::recorder::Recorder;
use super::resources::{NODES, PODS};
use super::rest::{CallError, PatchKind, Rest};
use super::tasks::Tasks;
use super::time;

/// kube-scheduler chooses one node after the other, but binds concurrently; so each worker does both, and choosing is
/// under one lock.
const WORKERS: usize = 8;
/// What a node can take that does not say it, as kubelet's default.
const PODS_PER_NODE: usize = 110;

struct Scheduler {
    rest: Rest,
    recorder: Recorder,
    /// Filed under their node.
    pods: Arc<Cache>,
    /// By name.
    nodes: Mutex<BTreeMap<String, Node>>,
    assumed: Mutex<Assumed>,
}

/// What was chosen here and is not yet to be seen in the cache.
#[derive(Default)]
struct Assumed {
    /// The node of each pod.
    nodes: HashMap<Key, String>,
    /// How many pods each node has among them.
    pods: HashMap<String, usize>,
}

/// What is looked at of a node.
struct Node {
    labels: BTreeMap<String, String>,
    is_cordoned: bool,
    capacity: usize,
}

/// Starts the process.
pub(crate) fn start(client: Client, options: &Options, tasks: &Tasks) -> Vec<Arc<Cache>> {
    let rest = Rest::new(client);
    let mut pods = Informer::new(&PODS)
        .fields("status.phase!=Succeeded,status.phase!=Failed")
        .trimmed(trim)
        .indexed_by(|pod| pod.text("/spec/nodeName").to_owned());
    let mut nodes = Informer::new(&NODES);
    let caches = vec![pods.cache(), nodes.cache()];
    let scheduler = Arc::new(Scheduler {
        rest: rest.clone(),
        recorder: Recorder::start("default-scheduler", &rest, tasks),
        pods: pods.cache(),
        nodes: Mutex::default(),
        assumed: Mutex::default(),
    });
    let mine = scheduler.clone();
    nodes.on(move |change| mine.saw_node(change));
    nodes.start(&rest, tasks);
    let queue = Queue::new("kube-scheduler", tasks);
    let (mine, keys) = (scheduler.clone(), queue.clone());
    pods.on(move |change| mine.saw_pod(change, &keys));
    pods.start(&rest, tasks);
    tasks.spawn(lease::hold(rest, election(options)));
    let synced = caches.clone();
    tasks.spawn(async move {
        all_synced("kube-scheduler", &synced).await;
        queue.work(WORKERS, move |key| {
            let scheduler = scheduler.clone();
            async move { scheduler.schedule(&key).await }
        });
    });
    caches
}

/// Leaves of a pod what a scheduler looks at.
fn trim(pod: &mut DynamicObject) {
    let (spec, status) = (&pod.data["spec"], &pod.data["status"]);
    pod.data = json!({
        "spec": {
            "nodeName": spec["nodeName"], "nodeSelector": spec["nodeSelector"],
            "schedulerName": spec["schedulerName"],
        },
        "status": {"conditions": status["conditions"]},
    });
    trim_metadata(pod);
}

fn election(options: &Options) -> Lease {
    Lease {
        key: Key::new("kube-system", "kube-scheduler"),
        holder: "kube-scheduler-lab".to_owned(),
        valid: options.leader_lease,
        every: options.leader_renewal,
        offset: std::time::Duration::ZERO,
    }
}

impl Scheduler {
    fn saw_pod(&self, change: &Change, queue: &Arc<Queue>) {
        match &change.new {
            Some(pod) if is_waiting(pod) => queue.add(change.key.clone()),
            _ => self.forget(&change.key),
        }
    }

    fn saw_node(&self, change: &Change) {
        let name = change.key.name.clone();
        match &change.new {
            Some(node) => self.nodes().insert(name, Node::of(node)),
            None => self.nodes().remove(&name),
        };
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn assumed(&self) -> MutexGuard<'_, Assumed> {
        self.assumed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, key: &Key) {
        self.assumed().forget(key);
    }

    async fn schedule(&self, key: &Key) -> Result<(), CallError> {
        let Some(pod) = self.pods.get(key).filter(|pod| is_waiting(pod)) else {
            return Ok(());
        };
        let Some(node) = self.choose(key, &pod) else {
            return Ok(());
        };
        let Some(node) = node else {
            return self.refuse(key, &pod).await;
        };
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": pod.uid()},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        self.rest
            .bind(key, &binding)
            .await
            .inspect_err(|_| self.forget(key))?;
        let note = format!("Successfully assigned {key} to {node}");
        self.recorder.report(&pod, "Normal", "Scheduled", &note);
        Ok(())
    }

    /// The node to bind to, `Some(None)` if there is none, `None` if it was chosen before.
    fn choose(&self, key: &Key, pod: &DynamicObject) -> Option<Option<String>> {
        let mut assumed = self.assumed();
        if assumed.nodes.contains_key(key) {
            return None;
        }
        let nodes = self.nodes();
        let loaded = nodes
            .iter()
            .filter(|(_, node)| node.takes(pod))
            .map(|(name, node)| (self.pods.count(name) + assumed.count(name), name, node))
            .filter(|(load, _, node)| *load < node.capacity);
        let best = loaded.min_by_key(|(load, name, _)| (*load, *name));
        let chosen = best.map(|(_, name, _)| name.clone());
        if let Some(name) = &chosen {
            assumed.add(key, name);
        }
        Some(chosen)
    }

    /// Tells that no node takes the pod; the error lets it come again.
    async fn refuse(&self, key: &Key, pod: &DynamicObject) -> Result<(), CallError> {
        let message = "0 nodes are available: none has room and matches the pod's node selector.";
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastTransitionTime": time::seconds(),
        });
        if pod.condition("PodScheduled").is_none() {
            self.recorder
                .report(pod, "Warning", "FailedScheduling", message);
            let patch = json!({"status": {"conditions": [condition]}});
            let target = (key, "status");
            self.rest
                .patch(&PODS, target, PatchKind::Strategic, &patch)
                .await?;
        }
        Err(CallError::NotYet("no node takes the pod"))
    }
}

fn is_waiting(pod: &DynamicObject) -> bool {
    let scheduler = pod.text("/spec/schedulerName");
    pod.text("/spec/nodeName").is_empty()
        && !pod.is_deleting()
        && matches!(scheduler, "" | "default-scheduler")
}

impl Assumed {
    fn count(&self, node: &str) -> usize {
        self.pods.get(node).copied().unwrap_or_default()
    }

    fn add(&mut self, key: &Key, node: &str) {
        self.nodes.insert(key.clone(), node.to_owned());
        *self.pods.entry(node.to_owned()).or_default() += 1;
    }

    fn forget(&mut self, key: &Key) {
        let node = self.nodes.remove(key);
        if let Some(count) = node.and_then(|node| self.pods.get_mut(&node)) {
            *count -= 1;
        }
    }
}

impl Node {
    fn of(node: &DynamicObject) -> Self {
        let pods = node.text("/status/allocatable/pods");
        Self {
            labels: node.metadata.labels.clone().unwrap_or_default(),
            is_cordoned: node.data["spec"]["unschedulable"] == true,
            capacity: pods.parse().unwrap_or(PODS_PER_NODE),
        }
    }

    fn takes(&self, pod: &DynamicObject) -> bool {
        let selector = pod.data["spec"]["nodeSelector"].as_object();
        let mut labels = selector.into_iter().flatten();
        let matches = |(label, value): (&String, &Value)| {
            self.labels.get(label).map(String::as_str) == value.as_str()
        };
        !self.is_cordoned && labels.all(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(label: &str) -> Node {
        let mut node = DynamicObject::new("node-1", &NODES).data(json!({}));
        node.metadata.labels = Some([("type".to_owned(), label.to_owned())].into());
        Node::of(&node)
    }

    #[test]
    fn a_node_selector_must_match() {
        let data = json!({"spec": {"nodeSelector": {"type": "lab"}}});
        let pod = DynamicObject::new("p", &PODS).data(data);
        assert!(node("lab").takes(&pod));
        assert!(!node("other").takes(&pod));
        assert_eq!(node("lab").capacity, PODS_PER_NODE);
    }
}
