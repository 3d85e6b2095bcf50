//! virt-handler: one per node, runs the instances that are handed over to it, and shows that the node is served.
//!
//! Its rows are assumed: the recorded runs have no virt-handler. They are derived from KubeVirt's published
//! measurements of density runs with 4 nodes: PATCH nodes 16 to 20 per 300 s, so one for each node and minute; UPDATE
//! virtualmachineinstances 4.8 per VMI in all, of which virt-controller makes 3.2, so about two are virt-handler's.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::cache::{Cache, Informer, all_synced};
use super::expectations::Expectations;
use super::names::{HEARTBEAT, NODE_NAME, SCHEDULABLE};
use super::object::{Key, ObjectExt, set_condition, trim_managers};
use super::options::Options;
use super::phase::{self, RUNNING, SCHEDULED, SUCCEEDED, status_of};
use super::queue::Queue;
use super::resources::{NODES, VMIS};
use super::rest::{CallError, PatchKind, Rest};
use super::tasks::Tasks;
use super::time;

/// Workers of a virt-handler, by KubeVirt's default.
const WORKERS: usize = 10;
/// Workers of all virt-handlers. They share a process here, and each has a connection of its own while it works.
const WORKERS_OF_ALL: usize = 40;

/// What a guest behind masquerade has as its address.
const GUEST_ADDRESS: &str = "10.0.2.2";

struct Handler {
    node: String,
    rest: Rest,
    vmis: Arc<Cache>,
    writes: Expectations,
}

/// Starts the process of one node, the `index`th of `nodes`.
pub(crate) fn start(
    (node, client): (String, Client),
    (index, nodes): (usize, usize),
    options: &Options,
    tasks: &Tasks,
) -> Vec<Arc<Cache>> {
    let rest = Rest::new(client);
    let mut vmis = Informer::new(&VMIS)
        .labels(&format!("{NODE_NAME}={node}"))
        .trimmed(trim_managers);
    let handler = Arc::new(Handler {
        node,
        rest: rest.clone(),
        vmis: vmis.cache(),
        writes: Expectations::default(),
    });
    let queue = Queue::new("virt-handler", tasks);
    let (mine, keys) = (handler.clone(), queue.clone());
    vmis.on(move |change| {
        mine.writes.clear(&change.key);
        keys.add(change.key.clone());
    });
    let cache = vmis.start(&rest, tasks);
    let offset = share(options.heartbeat, index, nodes);
    tasks.spawn(beat(handler.clone(), options.heartbeat, offset));
    let synced = cache.clone();
    tasks.spawn(async move {
        all_synced("virt-handler", &[synced]).await;
        queue.work(workers(nodes), move |key| {
            let handler = handler.clone();
            async move { handler.reconcile(&key).await }
        });
    });
    vec![cache]
}

/// How many workers each of so many virt-handlers has.
fn workers(nodes: usize) -> usize {
    (WORKERS_OF_ALL / nodes.max(1)).clamp(1, WORKERS)
}

/// Where in a period the `index`th of `count` begins, so that they are spread over it.
pub(crate) fn share(period: Duration, index: usize, count: usize) -> Duration {
    let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    (period / count).saturating_mul(index)
}

async fn beat(handler: Arc<Handler>, every: Duration, offset: Duration) {
    tokio::time::sleep(offset).await;
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = handler.heartbeat().await {
            tracing::warn!(node = handler.node, %error, "a heartbeat was not written");
        }
    }
}

impl Handler {
    async fn heartbeat(&self) -> Result<(), CallError> {
        let patch = json!({"metadata": {
            "labels": {SCHEDULABLE: "true"},
            "annotations": {HEARTBEAT: time::seconds()},
        }});
        let key = Key::new("", &self.node);
        self.rest
            .patch(&NODES, (&key, ""), PatchKind::Strategic, &patch)
            .await?;
        Ok(())
    }

    async fn reconcile(&self, key: &Key) -> Result<(), CallError> {
        let Some(vmi) = self.vmis.get(key) else {
            self.writes.clear(key);
            return Ok(());
        };
        if !self.writes.is_satisfied(key) {
            return Ok(());
        }
        let Some(next) = next(&vmi) else {
            return Ok(());
        };
        self.writes.expect(key);
        self.rest
            .replace(&VMIS, &next, "")
            .await
            .inspect_err(|_| self.writes.clear(key))?;
        Ok(())
    }
}

/// The VMI's next state on its node, if there is one.
fn next(vmi: &DynamicObject) -> Option<DynamicObject> {
    if phase::is_final(vmi) {
        return None;
    }
    let mut next = vmi.clone();
    match vmi.phase() {
        _ if vmi.is_deleting() => phase::enter(&mut next, SUCCEEDED),
        SCHEDULED => run(&mut next),
        RUNNING if !knows_guest(vmi) => tell_guest(&mut next),
        _ => return None,
    }
    Some(next)
}

/// First write: the domain is defined and runs.
fn run(vmi: &mut DynamicObject) {
    phase::enter(vmi, RUNNING);
    let now = time::seconds();
    let memory = guest_memory(vmi);
    let status = status_of(vmi);
    for condition in [
        json!({"type": "Ready", "status": "True"}),
        json!({"type": "LiveMigratable", "status": "True"}),
        json!({"type": "StorageLiveMigratable", "status": "True"}),
    ] {
        set_condition(&mut status["conditions"], condition, &now);
    }
    status["migrationMethod"] = "BlockMigration".into();
    status["migrationTransport"] = "Unix".into();
    status["machine"] = json!({"type": "pc-q35-rhel9.6.0"});
    status["currentCPUTopology"] = json!({"cores": 1, "sockets": 1, "threads": 1});
    status["memory"] = memory;
    status["guestOSInfo"] = json!({});
}

fn guest_memory(vmi: &DynamicObject) -> Value {
    let domain = &vmi.data["spec"]["domain"];
    let asked = [
        &domain["memory"]["guest"],
        &domain["resources"]["requests"]["memory"],
    ];
    match asked.into_iter().find(|size| size.is_string()) {
        Some(size) => json!({"guestAtBoot": size, "guestCurrent": size, "guestRequested": size}),
        None => json!({}),
    }
}

fn knows_guest(vmi: &DynamicObject) -> bool {
    vmi.data["status"]["interfaces"].is_array()
}

/// Second write: what the running domain reports of its guest.
fn tell_guest(vmi: &mut DynamicObject) {
    let interfaces: Vec<Value> = vmi
        .items("/spec/domain/devices/interfaces")
        .iter()
        .map(|interface| {
            json!({
                "name": interface["name"], "ipAddress": GUEST_ADDRESS, "ipAddresses": [GUEST_ADDRESS],
                "infoSource": "domain", "podInterfaceName": "eth0", "queueCount": 1, "linkState": "up",
            })
        })
        .collect();
    status_of(vmi)["interfaces"] = interfaces.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_takes_two_writes_to_run_and_one_to_end() {
        let data = json!({"spec": {"domain": {}}, "status": {"phase": "Scheduled"}});
        let scheduled = DynamicObject::new("vm-1", &VMIS).data(data);
        let running = next(&scheduled).unwrap();
        assert_eq!(running.phase(), RUNNING);
        assert!(running.is_true("Ready"));
        let told = next(&running).unwrap();
        assert!(next(&told).is_none());
        let mut deleting = told;
        deleting.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!(time::seconds())).unwrap());
        let over = next(&deleting).unwrap();
        assert_eq!(over.phase(), SUCCEEDED);
        assert!(next(&over).is_none());
    }

    #[test]
    fn many_virt_handlers_have_few_workers() {
        let found = [1, 4, 10, 100].map(workers);
        assert_eq!(found, [10, 10, 4, 1]);
    }

    #[test]
    fn beats_are_spread_over_the_period() {
        let minute = Duration::from_secs(60);
        assert_eq!(share(minute, 0, 4), Duration::ZERO);
        assert_eq!(share(minute, 3, 4), Duration::from_secs(45));
    }
}
