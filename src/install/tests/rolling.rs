//! Rollouts by their status.

use serde_json::{Value, json};

use super::spec;
use crate::{
    Component, WorkloadKind,
    patch::{Mode, digest, patch},
    rollout::{Rollout, Wanted, complaint, rollout},
};

fn workload(attached: bool, status: Value) -> Value {
    let template = if attached {
        patch(Component::VirtApi, &spec(Mode::Sidecar))["spec"]["template"].clone()
    } else {
        json!({"spec": {"containers": []}})
    };
    json!({
        "metadata": {"generation": 4},
        "spec": {"replicas": 2, "template": template},
        "status": status,
    })
}

fn proxy() -> Wanted {
    Wanted::Proxy(digest(&patch(Component::VirtApi, &spec(Mode::Sidecar))))
}

fn detail(kind: WorkloadKind, workload: &Value, wanted: &Wanted) -> String {
    match rollout(kind, workload, wanted) {
        Rollout::Done => "done".to_owned(),
        Rollout::Pending(detail) => detail,
    }
}

#[test]
fn a_deployment_is_done_when_all_pods_are_new_and_available_and_no_old_one_is_left() {
    let status = |observed: u64, all: u64, updated: u64, available: u64| {
        json!({
            "observedGeneration": observed, "replicas": all,
            "updatedReplicas": updated, "availableReplicas": available,
        })
    };
    let kind = WorkloadKind::Deployment;
    let done = workload(true, status(4, 2, 2, 2));
    assert_eq!(detail(kind, &done, &proxy()), "done");
    let cases = [
        (
            workload(false, status(4, 2, 2, 2)),
            "virt-operator has not changed",
        ),
        (
            workload(true, status(3, 2, 2, 2)),
            "its controller has not seen",
        ),
        (workload(true, status(4, 3, 2, 2)), "2 of 2 pods are new"),
        (workload(true, status(4, 2, 1, 2)), "1 of 2 pods are new"),
        (workload(true, status(4, 2, 2, 1)), "1 are available"),
        (workload(true, Value::Null), "its controller has not seen"),
    ];
    for (workload, pending) in cases {
        let detail = detail(kind, &workload, &proxy());
        assert!(detail.contains(pending), "{detail}");
    }
    let other = Wanted::Proxy("0000".to_owned());
    assert_ne!(detail(kind, &done, &other), "done", "another patch");
    assert_ne!(detail(kind, &done, &Wanted::NoProxy), "done");
    let bare = workload(false, status(4, 2, 2, 2));
    assert_eq!(detail(kind, &bare, &Wanted::NoProxy), "done");
}

#[test]
fn a_daemon_set_is_done_when_every_node_has_a_new_pod() {
    let status = |updated: u64, available: u64| {
        json!({
            "observedGeneration": 4, "desiredNumberScheduled": 3,
            "updatedNumberScheduled": updated, "numberAvailable": available,
        })
    };
    let kind = WorkloadKind::DaemonSet;
    assert_eq!(
        detail(kind, &workload(true, status(3, 3)), &proxy()),
        "done"
    );
    for (updated, available) in [(2, 3), (3, 2), (0, 0)] {
        let detail = detail(kind, &workload(true, status(updated, available)), &proxy());
        let expected = format!("{updated} of 3 pods are new, {available} are available");
        assert_eq!(detail, expected);
    }
}

#[test]
fn a_container_that_can_not_start_is_named() {
    let pod = |reason: &str| {
        json!({
            "metadata": {"name": "virt-api-1"},
            "status": {"initContainerStatuses": [
                {"name": "kubetoll-proxy", "state": {"waiting": {"reason": reason}}},
            ]},
        })
    };
    let told = complaint(&pod("ErrImagePull")).unwrap();
    assert_eq!(
        told,
        "pod virt-api-1, container kubetoll-proxy: ErrImagePull"
    );
    assert_eq!(complaint(&pod("PodInitializing")), None);
    assert_eq!(complaint(&json!({})), None);
}
