//! virt-api: the webhooks that the API server asks about VMIs, VMs and virt-launcher pods, with the calls they make.
//!
//! What each question costs, as measured: for a virt-launcher pod one GET of its VMI; for a VM with a preference or an
//! instancetype one GET of the preference when it is completed, then one of the instancetype and one of the preference
//! when it is validated; nothing for a VMI, for a VM that is being deleted, and for status.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use kube::Client;
use kube::core::{ApiResource, DynamicObject};
use serde_json::Value;
use tokio::sync::mpsc;

use super::cache::{Cache, Change, Informer, Packed, Shared};
use super::names::{APP, DOMAIN, VIRT_LAUNCHER};
use super::object::{Key, ObjectExt};
use super::phase;
use super::queue::Queue;
use super::resources::{
    CLUSTER_INSTANCETYPES, CLUSTER_PREFERENCES, INSTANCETYPES, KUBEVIRTS, PODS, PREFERENCES, VMIS,
    VMS,
};
use super::rest::{CallError, Rest};
use super::tasks::Tasks;

const WORKERS: usize = 4;
/// How many changes of VMs may wait to be looked at when virt-api watches.
const WAITING: usize = 1000;

/// How virt-api learns what it is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Webhooks {
    /// The API server asks, through [`VirtApi::admit`].
    #[default]
    Asked,
    /// Nobody asks, as at a kube-apiserver without webhooks: the same calls are made after the fact, when a watch shows
    /// a new pod or a VM's change. VMIs then get their defaults by virt-controller's first write. A VM's patch counts
    /// twice: in the recorded runs the API server admitted 75 of 100 patches a second time, since a status write had
    /// overtaken them.
    Watched,
}

/// What is about to be written, as in a Kubernetes `AdmissionReview`.
#[derive(Debug, Clone)]
pub struct AdmissionRequest {
    /// `CREATE` or `UPDATE` (a patch is an update).
    pub operation: String,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural resource name.
    pub resource: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// Empty at cluster scope.
    pub namespace: String,
    /// Empty when the name is still to be generated.
    pub name: String,
    /// User name of who writes.
    pub user: String,
    /// The object as it would be stored.
    pub object: Value,
}

/// A running virt-api.
pub struct VirtApi {
    rest: Rest,
}

/// Starts the process.
pub(crate) fn start(
    client: Client,
    webhooks: Webhooks,
    tasks: &Tasks,
) -> (Arc<VirtApi>, Vec<Arc<Cache>>) {
    let rest = Rest::new(client);
    let api = Arc::new(VirtApi { rest: rest.clone() });
    let mut caches = vec![Informer::new(&KUBEVIRTS).start(&rest, tasks)];
    if webhooks == Webhooks::Watched {
        caches.extend([watch_pods(&api, tasks), watch_vms(&api, tasks)]);
    }
    (api, caches)
}

fn watch_pods(api: &Arc<VirtApi>, tasks: &Tasks) -> Arc<Cache> {
    let mut pods = Informer::new(&PODS).labels(&format!("{APP}={VIRT_LAUNCHER}"));
    let queue = Queue::new("virt-api-pods", tasks);
    let keys = queue.clone();
    pods.on(move |change| {
        if let (None, Some(pod)) = (&change.old, &change.new) {
            keys.add(vmi_of(pod));
        }
    });
    let api_of_workers = api.clone();
    queue.work(WORKERS, move |vmi| {
        let api = api_of_workers.clone();
        async move { ignore_missing(api.rest.get(&VMIS, &vmi).await) }
    });
    pods.start(&api.rest, tasks)
}

fn watch_vms(api: &Arc<VirtApi>, tasks: &Tasks) -> Arc<Cache> {
    let (asks, asked) = mpsc::channel::<(Shared, usize)>(WAITING);
    let mut vms = Informer::new(&VMS);
    vms.on(move |change| {
        let times = admissions(change);
        if let (Some(vm), 1..) = (change.new.clone(), times)
            && asks.try_send((vm, times)).is_err()
        {
            tracing::warn!(vm = %change.key, "virt-api has not looked at a change");
        }
    });
    let mine = api.clone();
    tasks.spawn(async move {
        stream::unfold(asked, async |mut asked| Some((asked.recv().await?, asked)))
            .for_each_concurrent(WORKERS, |(vm, times)| {
                let api = mine.clone();
                async move {
                    for _ in 0..times {
                        api.admit_vm(&vm).await;
                    }
                }
            })
            .await;
    });
    vms.start(&api.rest, tasks)
}

/// How often the API server would have asked about the VM for this change.
fn admissions(change: &Change) -> usize {
    let Some(new) = &change.new else { return 0 };
    let Some(old) = change.old.as_ref().map(Packed::unpack) else {
        return 1;
    };
    let (before, after) = (&old.metadata, &new.metadata);
    if before.finalizers != after.finalizers {
        return 2;
    }
    let same = before.annotations == after.annotations
        && before.labels == after.labels
        && old.data["spec"] == new.data["spec"];
    usize::from(!same)
}

impl VirtApi {
    /// Answers what the API server asks before it stores an object: makes the calls that virt-api's webhooks make, and
    /// gives the object with KubeVirt's defaults if it is to be stored differently. Objects that are not KubeVirt's
    /// business, and status, are left alone without a call. A call that fails is logged, and does not deny anything.
    pub async fn admit(&self, request: AdmissionRequest) -> Option<Value> {
        if !request.subresource.is_empty() {
            return None;
        }
        let creating = request.operation == "CREATE";
        match (request.group.as_str(), request.resource.as_str()) {
            ("", "pods") if creating => {
                self.admit_pod(request).await;
                None
            }
            ("kubevirt.io", "virtualmachineinstances") if creating => defaulted_vmi(request.object),
            ("kubevirt.io", "virtualmachines") => {
                let vm: DynamicObject = serde_json::from_value(request.object).ok()?;
                self.admit_vm_of(&request.namespace, &vm).await;
                creating.then(|| defaulted_vm(vm)).flatten()
            }
            _ => None,
        }
    }

    async fn admit_pod(&self, request: AdmissionRequest) {
        let Ok(mut pod) = serde_json::from_value::<DynamicObject>(request.object) else {
            return;
        };
        if pod.label(APP) != VIRT_LAUNCHER {
            return;
        }
        pod.metadata.namespace.get_or_insert(request.namespace);
        report(self.rest.get(&VMIS, &vmi_of(&pod)).await);
    }

    async fn admit_vm(&self, vm: &DynamicObject) {
        let namespace = vm.metadata.namespace.as_deref().unwrap_or_default();
        self.admit_vm_of(namespace, vm).await;
    }

    async fn admit_vm_of(&self, namespace: &str, vm: &DynamicObject) {
        if vm.is_deleting() {
            return;
        }
        let preference = matched(vm, "preference", [&PREFERENCES, &CLUSTER_PREFERENCES]);
        let instancetype = matched(vm, "instancetype", [&INSTANCETYPES, &CLUSTER_INSTANCETYPES]);
        for (resource, name) in [preference, instancetype, preference].into_iter().flatten() {
            let in_cluster = resource.plural.starts_with("virtualmachinecluster");
            let key = Key::new(if in_cluster { "" } else { namespace }, name);
            report(self.rest.get(resource, &key).await);
        }
    }
}

/// The resource and the name that a VM's matcher points at.
fn matched<'a>(
    vm: &'a DynamicObject,
    field: &str,
    [namespaced, in_cluster]: [&'a ApiResource; 2],
) -> Option<(&'a ApiResource, &'a str)> {
    let matcher = &vm.data["spec"][field];
    let kind = matcher["kind"].as_str().unwrap_or_default().to_lowercase();
    let cluster = kind.starts_with("virtualmachinecluster");
    let resource = if cluster { in_cluster } else { namespaced };
    Some((resource, matcher["name"].as_str()?))
}

fn vmi_of(pod: &DynamicObject) -> Key {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Key::new(namespace, pod.annotation(DOMAIN))
}

fn defaulted_vmi(object: Value) -> Option<Value> {
    let mut vmi: DynamicObject = serde_json::from_value(object).ok()?;
    phase::set_defaults(&mut vmi);
    serde_json::to_value(vmi).ok()
}

fn defaulted_vm(mut vm: DynamicObject) -> Option<Value> {
    let spec = vm.data.pointer_mut("/spec/template/spec")?;
    phase::set_spec_defaults(spec);
    serde_json::to_value(vm).ok()
}

fn ignore_missing(answer: Result<DynamicObject, CallError>) -> Result<(), CallError> {
    match answer {
        Err(error) if error.code() != 404 => Err(error),
        _ => Ok(()),
    }
}

fn report(answer: Result<DynamicObject, CallError>) {
    if let Err(error) = answer {
        tracing::debug!(%error, "a webhook did not find what it looked for");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packing::Packer;
    use serde_json::json;

    fn vm() -> DynamicObject {
        DynamicObject::new("vm-1", &VMS).data(json!({"spec": {
            "instancetype": {"name": "small", "kind": "VirtualMachineClusterInstancetype"},
            "preference": {"name": "pref"}, "template": {"spec": {"domain": {}}},
        }}))
    }

    #[test]
    fn matchers_name_namespaced_and_cluster_wide_resources() {
        let vm = vm();
        let (resource, name) = matched(
            &vm,
            "instancetype",
            [&INSTANCETYPES, &CLUSTER_INSTANCETYPES],
        )
        .unwrap();
        assert_eq!(
            (resource.plural.as_str(), name),
            ("virtualmachineclusterinstancetypes", "small")
        );
        let (resource, _) =
            matched(&vm, "preference", [&PREFERENCES, &CLUSTER_PREFERENCES]).unwrap();
        assert_eq!(resource.plural, "virtualmachinepreferences");
    }

    #[test]
    fn a_status_write_is_no_admission_and_a_finalizer_is_a_patch() {
        let old = Packed::of(&vm(), &mut Packer::default());
        let mut new = vm();
        new.data["status"] = json!({"ready": true});
        let mut change = Change::new(Key::of(&new), Some(old), Arc::new(new.clone()));
        assert_eq!(admissions(&change), 0);
        new.metadata.finalizers = Some(vec!["a".to_owned()]);
        change.new = Some(Arc::new(new));
        assert_eq!(admissions(&change), 2);
        change.old = None;
        assert_eq!(admissions(&change), 1);
    }
}
