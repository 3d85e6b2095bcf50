//! kube-scheduler: gives each new pod the least loaded node that its node selector allows.
//!
//! Taints are not looked at: a lab has no controller that would take the not-ready taint from a new node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::cache::{Cache, Change, Informer, Shared, all_synced};
use super::lease::{self, Lease};
use super::object::{Key, ObjectExt};
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
    nodes: Arc<Cache>,
    /// Chosen here, and not yet to be seen in the cache.
    assumed: Mutex<HashMap<Key, String>>,
}

/// Starts the process.
pub(crate) fn start(client: Client, options: &Options, tasks: &Tasks) -> Vec<Arc<Cache>> {
    let rest = Rest::new(client);
    let mut pods = Informer::new(&PODS)
        .fields("status.phase!=Succeeded,status.phase!=Failed")
        .indexed_by(|pod| pod.text("/spec/nodeName").to_owned());
    let scheduler = Arc::new(Scheduler {
        rest: rest.clone(),
        recorder: Recorder::start("default-scheduler", &rest, tasks),
        pods: pods.cache(),
        nodes: Informer::new(&NODES).start(&rest, tasks),
        assumed: Mutex::default(),
    });
    let queue = Queue::new("kube-scheduler", tasks);
    let (mine, keys) = (scheduler.clone(), queue.clone());
    pods.on(move |change| mine.saw_pod(change, &keys));
    pods.start(&rest, tasks);
    tasks.spawn(lease::hold(rest, election(options)));
    let caches = vec![scheduler.pods.clone(), scheduler.nodes.clone()];
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

    fn forget(&self, key: &Key) {
        let mut assumed = self.assumed.lock().unwrap_or_else(PoisonError::into_inner);
        assumed.remove(key);
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
        let mut assumed = self.assumed.lock().unwrap_or_else(PoisonError::into_inner);
        if assumed.contains_key(key) {
            return None;
        }
        let load = |node: &Shared| {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            self.pods.count(name) + assumed.values().filter(|other| *other == name).count()
        };
        let nodes = self.nodes.all();
        let best = nodes
            .iter()
            .filter(|node| fits(pod, node))
            .map(|node| {
                (
                    load(node),
                    node.metadata.name.clone().unwrap_or_default(),
                    node,
                )
            })
            .filter(|(load, _, node)| *load < capacity(node))
            .min_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let chosen = best.map(|(_, name, _)| name);
        if let Some(name) = &chosen {
            assumed.insert(key.clone(), name.clone());
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

fn fits(pod: &DynamicObject, node: &DynamicObject) -> bool {
    let selector = pod.data["spec"]["nodeSelector"].as_object();
    let labels = selector.into_iter().flatten();
    let matches = |(label, value): (&String, &Value)| Some(node.label(label)) == value.as_str();
    node.data["spec"]["unschedulable"] != true && labels.clone().all(matches)
}

fn capacity(node: &DynamicObject) -> usize {
    let pods = node.text("/status/allocatable/pods");
    pods.parse().unwrap_or(PODS_PER_NODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(label: &str) -> DynamicObject {
        let mut node = DynamicObject::new("node-1", &NODES).data(json!({}));
        node.metadata.labels = Some([("type".to_owned(), label.to_owned())].into());
        node
    }

    #[test]
    fn a_node_selector_must_match() {
        let data = json!({"spec": {"nodeSelector": {"type": "lab"}}});
        let pod = DynamicObject::new("p", &PODS).data(data);
        assert!(fits(&pod, &node("lab")));
        assert!(!fits(&pod, &node("other")));
        assert_eq!(capacity(&node("lab")), PODS_PER_NODE);
    }
}
