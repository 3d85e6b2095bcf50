//! How far a rollout is, by the status of a Deployment or DaemonSet.

use serde_json::Value;

use super::{
    component::WorkloadKind,
    marks::DIGEST_ANNOTATION,
    template::{annotation, sidecar},
};

/// What the workload's pods are to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The proxy of the patch with this digest.
    Proxy(String),
    /// No proxy.
    NoProxy,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// All pods are as wanted, and ready.
    Done,
    /// Not yet, and why.
    Pending(String),
}

/// How far the rollout of `workload` is.
pub fn rollout(kind: WorkloadKind, workload: &Value, wanted: &Wanted) -> Rollout {
    let template = &workload["spec"]["template"];
    if !is_as_wanted(template, wanted) {
        return Rollout::Pending("virt-operator has not changed its pod template yet".to_owned());
    }
    progress(kind, workload)
}

/// How far the rollout of a workload is, whatever its pod template has.
pub fn progress(kind: WorkloadKind, workload: &Value) -> Rollout {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let status = &workload["status"];
    let generation = number(&workload["metadata"]["generation"]);
    if number(&status["observedGeneration"]) < generation {
        return Rollout::Pending("its controller has not seen the change yet".to_owned());
    }
    let (wanted, updated, available, all) = match kind {
        WorkloadKind::Deployment => (
            workload["spec"]["replicas"].as_u64().unwrap_or(1),
            number(&status["updatedReplicas"]),
            number(&status["availableReplicas"]),
            number(&status["replicas"]),
        ),
        WorkloadKind::DaemonSet => {
            let wanted = number(&status["desiredNumberScheduled"]);
            let updated = number(&status["updatedNumberScheduled"]);
            (wanted, updated, number(&status["numberAvailable"]), wanted)
        }
    };
    if updated >= wanted && available >= wanted && all <= wanted {
        return Rollout::Done;
    }
    Rollout::Pending(format!(
        "{updated} of {wanted} pods are new, {available} are available"
    ))
}

/// Whether a pod template, or a pod, is as wanted.
pub fn is_as_wanted(template: &Value, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Proxy(digest) => {
            sidecar(template).is_some()
                && annotation(template, DIGEST_ANNOTATION) == Some(digest.as_str())
        }
        Wanted::NoProxy => sidecar(template).is_none(),
    }
}

/// Why containers of a pod don't run, as the kubelet says it.
pub fn complaint(pod: &Value) -> Option<String> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let lists = ["initContainerStatuses", "containerStatuses"];
    let mut statuses = lists
        .into_iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten();
    statuses.find_map(|status| {
        let reason = status["state"]["waiting"]["reason"].as_str()?;
        let container = status["name"].as_str().unwrap_or_default();
        let is_usual = ["PodInitializing", "ContainerCreating"].contains(&reason);
        (!is_usual).then(|| format!("pod {name}, container {container}: {reason}"))
    })
}
