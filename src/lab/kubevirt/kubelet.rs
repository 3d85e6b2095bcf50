//! kubelet, for all nodes in one process: runs bound pods at once, ends deleted ones at once, keeps the nodes' leases.
//!
//! It does what kwok did in the recorded runs, with one patch for a pod that runs and one delete for a pod that ends.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::cache::{Cache, Informer, all_synced};
use super::handler::share;
use super::lease::{self, Lease};
use super::object::{Key, ObjectExt, trim_metadata};
use super::options::Options;
use super::queue::Queue;
use super::resources::PODS;
use super::rest::{CallError, PatchKind, Rest};
use super::tasks::Tasks;
use super::time;

const WORKERS: usize = 4;
/// How long a node counts as alive without renewal, in kubelet.
const NODE_LEASE: Duration = Duration::from_secs(40);

struct Kubelet {
    rest: Rest,
    pods: Arc<Cache>,
    /// What was last told of each pod, so that a cache that is behind does not make it told again.
    told: Mutex<HashMap<Key, Told>>,
}

/// A pod, by its uid, and the last word on it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Runs(String),
    Ended(String),
}

/// Starts the process.
pub(crate) fn start(client: Client, options: &Options, tasks: &Tasks) -> Vec<Arc<Cache>> {
    let rest = Rest::new(client);
    let mut pods = Informer::new(&PODS).fields("spec.nodeName!=").trimmed(trim);
    let kubelet = Arc::new(Kubelet {
        rest: rest.clone(),
        pods: pods.cache(),
        told: Mutex::default(),
    });
    let queue = Queue::new("kubelet", tasks);
    let keys = queue.clone();
    pods.on(move |change| keys.add(change.key.clone()));
    let cache = pods.start(&rest, tasks);
    hold_node_leases(&rest, options, tasks);
    let synced = cache.clone();
    tasks.spawn(async move {
        all_synced("kubelet", &[synced]).await;
        queue.work(WORKERS, move |key| {
            let kubelet = kubelet.clone();
            async move { kubelet.reconcile(&key).await }
        });
    });
    vec![cache]
}

fn hold_node_leases(rest: &Rest, options: &Options, tasks: &Tasks) {
    let names = options.node_names();
    let count = names.len();
    for (index, name) in names.into_iter().enumerate() {
        let node_lease = Lease {
            key: Key::new("kube-node-lease", &name),
            holder: name,
            valid: NODE_LEASE,
            every: options.node_lease_renewal,
            offset: share(options.node_lease_renewal, index, count),
        };
        tasks.spawn(lease::hold(rest.clone(), node_lease));
    }
}

impl Kubelet {
    async fn reconcile(&self, key: &Key) -> Result<(), CallError> {
        let Some(pod) = self.pods.get(key) else {
            self.told().remove(key);
            return Ok(());
        };
        let uid = pod.uid().to_owned();
        if pod.is_deleting() {
            self.tell(key, Told::Ended(uid), self.end(key, &pod)).await
        } else if matches!(pod.phase(), "" | "Pending") {
            self.tell(key, Told::Runs(uid), self.run(key, &pod)).await
        } else {
            Ok(())
        }
    }

    /// Makes the call unless it is what was told last.
    async fn tell(
        &self,
        key: &Key,
        told: Told,
        call: impl Future<Output = Result<(), CallError>>,
    ) -> Result<(), CallError> {
        if self.told().get(key) == Some(&told) {
            return Ok(());
        }
        call.await?;
        self.told().insert(key.clone(), told);
        Ok(())
    }

    fn told(&self) -> MutexGuard<'_, HashMap<Key, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, key: &Key, pod: &DynamicObject) -> Result<(), CallError> {
        let patch = json!({"status": running(pod)});
        self.rest
            .patch(&PODS, (key, "status"), PatchKind::Strategic, &patch)
            .await?;
        Ok(())
    }

    async fn end(&self, key: &Key, pod: &DynamicObject) -> Result<(), CallError> {
        let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid()}});
        self.rest.delete(&PODS, key, &options).await
    }
}

/// Leaves of a pod what this kubelet looks at.
fn trim(pod: &mut DynamicObject) {
    let containers = pod.items("/spec/containers").iter();
    let containers: Vec<Value> = containers
        .map(|container| json!({"name": container["name"], "image": container["image"]}))
        .collect();
    let phase = pod.data["status"]["phase"].clone();
    pod.data = json!({"spec": {"containers": containers}, "status": {"phase": phase}});
    trim_metadata(pod);
}

/// The status of a pod whose containers all run.
fn running(pod: &DynamicObject) -> Value {
    let now = time::seconds();
    let address = address(pod.uid());
    let conditions: Vec<Value> = ["Initialized", "ContainersReady", "Ready"]
        .into_iter()
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": now}))
        .collect();
    let containers: Vec<Value> = pod
        .items("/spec/containers")
        .iter()
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"], "imageID": "",
                "ready": true, "started": true, "restartCount": 0, "state": {"running": {"startedAt": now}},
            })
        })
        .collect();
    json!({
        "phase": "Running", "startTime": now, "hostIP": "192.0.2.1", "podIP": address,
        "podIPs": [{"ip": address}], "conditions": conditions, "containerStatuses": containers,
    })
}

/// An address in 10.0.0.0/8 that stays the pod's own.
fn address(uid: &str) -> String {
    let digits = uid.get(..6).unwrap_or_default();
    let number = u32::from_str_radix(digits, 16).unwrap_or(1);
    let [_, high, middle, low] = number.to_be_bytes();
    format!("10.{high}.{middle}.{low}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_pod_has_all_its_containers_ready() {
        let data = json!({"spec": {"containers": [{"name": "compute", "image": "a"}, {"name": "disk", "image": "b"}]}});
        let mut pod = DynamicObject::new("p", &PODS).data(data);
        pod.metadata.uid = Some("0a0b0c0d-0000".to_owned());
        let status = running(&pod);
        assert_eq!(
            status["containerStatuses"].as_array().map(Vec::len),
            Some(2)
        );
        assert_eq!(status["podIP"], "10.10.11.12");
    }
}
