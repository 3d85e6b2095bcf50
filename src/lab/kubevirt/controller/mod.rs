//! virt-controller: makes pods for virtual machine instances, instances for virtual machines, and follows what becomes
//! of them.
//!
//! Three controllers work side by side, as in the real one: that of VMIs, that of VMs, and that of snapshots, of which
//! only the part is here that every VM meets: it enters into the VM's status which volumes can be snapshotted. Since
//! that one and the VM controller start on the same new VM with the same resourceVersion, one of them meets a conflict.

mod instancetype;
mod pod;
mod revision;
mod snapshot;
mod vm;
mod vm_status;
mod vmi;
mod vmi_status;

use std::sync::Arc;

use kube::Client;
use kube::core::{ApiResource, DynamicObject};

use super::cache::{Cache, Change, Informer, all_synced};
use super::expectations::Expectations;
use super::lease::{self, Lease};
use super::names::{APP, CREATED_BY, NAMESPACE};
use super::object::{Key, ObjectExt, trim_managers};
use super::options::Options;
use super::queue::Queue;
use super::recorder::Recorder;
use super::resources::{
    CLUSTER_INSTANCETYPES, CLUSTER_PREFERENCES, INSTANCETYPES, KUBEVIRTS, NODES, PODS, PREFERENCES,
    REVISIONS, VMIS, VMS,
};
use super::rest::Rest;
use super::tasks::Tasks;

/// Workers of the VMI controller, by KubeVirt's default.
const VMI_WORKERS: usize = 10;
/// Workers of the VM controller, by KubeVirt's default.
const VM_WORKERS: usize = 3;
/// Workers that fill in the snapshot status of volumes, by KubeVirt's default.
const SNAPSHOT_WORKERS: usize = 6;

/// What the controllers of the process share.
struct Controller {
    rest: Rest,
    recorder: Recorder,
    caches: Caches,
    pod_creations: Expectations,
    pod_deletions: Expectations,
    /// Pods whose labels were written here.
    pod_labels: Expectations,
    /// VMIs that were written here.
    vmi_writes: Expectations,
    /// VMIs that were created for a VM.
    vmi_creations: Expectations,
    vmi_deletions: Expectations,
}

/// What virt-controller knows of the cluster.
struct Caches {
    vmis: Arc<Cache>,
    vms: Arc<Cache>,
    /// virt-launcher pods, filed under the uid of their VMI.
    pods: Arc<Cache>,
    revisions: Arc<Cache>,
    instancetypes: Arc<Cache>,
    cluster_instancetypes: Arc<Cache>,
    preferences: Arc<Cache>,
    cluster_preferences: Arc<Cache>,
}

/// The keys that wait for each controller.
#[derive(Clone)]
struct Queues {
    vmis: Arc<Queue>,
    vms: Arc<Queue>,
    snapshots: Arc<Queue>,
}

/// Starts the process; its caches are returned so that one can wait for them.
pub(crate) fn start(client: Client, options: &Options, tasks: &Tasks) -> Vec<Arc<Cache>> {
    let rest = Rest::new(client);
    let queues = Queues {
        vmis: Queue::new("virt-controller-vmi", tasks),
        vms: Queue::new("virt-controller-vm", tasks),
        snapshots: Queue::new("virt-controller-snapshot", tasks),
    };
    let pods = Informer::new(&PODS)
        .labels(APP)
        .trimmed(pod::trim)
        .indexed_by(|pod| pod.label(CREATED_BY).to_owned());
    let vmis = Informer::new(&VMIS).trimmed(trim_managers);
    let vms = Informer::new(&VMS).trimmed(trim_managers);
    let cache_only = |resource: &ApiResource| Informer::new(resource).start(&rest, tasks);
    let controller = Arc::new(Controller {
        rest: rest.clone(),
        recorder: Recorder::start("virtualmachine-controller", &rest, tasks),
        caches: Caches {
            vmis: vmis.cache(),
            vms: vms.cache(),
            pods: pods.cache(),
            revisions: cache_only(&REVISIONS),
            instancetypes: cache_only(&INSTANCETYPES),
            cluster_instancetypes: cache_only(&CLUSTER_INSTANCETYPES),
            preferences: cache_only(&PREFERENCES),
            cluster_preferences: cache_only(&CLUSTER_PREFERENCES),
        },
        pod_creations: Expectations::default(),
        pod_deletions: Expectations::default(),
        pod_labels: Expectations::default(),
        vmi_writes: Expectations::default(),
        vmi_creations: Expectations::default(),
        vmi_deletions: Expectations::default(),
    });
    watch_pods(&controller, &queues, pods, tasks);
    watch_vmis(&controller, &queues, vmis, tasks);
    watch_vms(&controller, &queues, vms, tasks);
    let mut synced = controller.caches.all();
    synced.extend([cache_only(&NODES), cache_only(&KUBEVIRTS)]);
    tasks.spawn(lease::hold(rest, election(options)));
    tasks.spawn(work(controller, queues, synced.clone()));
    synced
}

impl Caches {
    fn all(&self) -> Vec<Arc<Cache>> {
        vec![
            self.vmis.clone(),
            self.vms.clone(),
            self.pods.clone(),
            self.revisions.clone(),
            self.instancetypes.clone(),
            self.cluster_instancetypes.clone(),
            self.preferences.clone(),
            self.cluster_preferences.clone(),
        ]
    }
}

fn election(options: &Options) -> Lease {
    Lease {
        key: Key::new(NAMESPACE, "virt-controller"),
        holder: "virt-controller-lab".to_owned(),
        valid: options.leader_lease,
        every: options.leader_renewal,
        offset: std::time::Duration::ZERO,
    }
}

/// Workers start when the caches are complete.
async fn work(controller: Arc<Controller>, queues: Queues, synced: Vec<Arc<Cache>>) {
    all_synced("virt-controller", &synced).await;
    let vmis = controller.clone();
    queues.vmis.work(VMI_WORKERS, move |key| {
        let controller = vmis.clone();
        async move { controller.reconcile_vmi(&key).await }
    });
    let vms = controller.clone();
    queues.vms.work(VM_WORKERS, move |key| {
        let controller = vms.clone();
        async move { controller.reconcile_vm(&key).await }
    });
    queues.snapshots.work(SNAPSHOT_WORKERS, move |key| {
        let controller = controller.clone();
        async move { controller.reconcile_snapshot_status(&key).await }
    });
}

fn watch_pods(controller: &Arc<Controller>, queues: &Queues, mut pods: Informer, tasks: &Tasks) {
    let (mine, queue) = (controller.clone(), queues.vmis.clone());
    pods.on(move |change| {
        let Some(vmi) = change.object().and_then(|pod| vmi_of(&pod)) else {
            return;
        };
        mine.pod_labels.clear(&change.key);
        mine.pod_creations.clear(&vmi);
        if change.new.as_ref().is_none_or(|pod| pod.is_deleting()) {
            mine.pod_deletions.clear(&vmi);
        }
        queue.add(vmi);
    });
    pods.start(&controller.rest, tasks);
}

fn watch_vmis(controller: &Arc<Controller>, queues: &Queues, mut vmis: Informer, tasks: &Tasks) {
    let (mine, queues) = (controller.clone(), queues.clone());
    vmis.on(move |change| {
        mine.saw_vmi(change);
        queues.vmis.add(change.key.clone());
        // A VM and its VMI have the same name.
        if mine.caches.vms.has(&change.key) {
            queues.vms.add(change.key.clone());
        }
    });
    vmis.start(&controller.rest, tasks);
}

fn watch_vms(controller: &Arc<Controller>, queues: &Queues, mut vms: Informer, tasks: &Tasks) {
    let queues = queues.clone();
    vms.on(move |change| {
        queues.snapshots.add(change.key.clone());
        queues.vms.add(change.key.clone());
    });
    vms.start(&controller.rest, tasks);
}

impl Controller {
    fn saw_vmi(&self, change: &Change) {
        self.vmi_writes.clear(&change.key);
        self.vmi_creations.clear(&change.key);
        if change.new.as_ref().is_none_or(|vmi| vmi.is_deleting()) {
            self.vmi_deletions.clear(&change.key);
        }
    }
}

fn vmi_of(pod: &DynamicObject) -> Option<Key> {
    let owners = pod.metadata.owner_references.as_ref()?;
    let owner = owners.iter().find(|owner| owner.kind == VMIS.kind)?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Some(Key::new(namespace, &owner.name))
}
