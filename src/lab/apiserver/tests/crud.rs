//! create, get, update, delete, and their errors.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::json;

use super::{Lab, dynamic, status_of, vm};

#[tokio::test]
async fn metadata_is_filled() {
    let lab = Lab::start().await;
    let created = lab
        .vms()
        .create(&PostParams::default(), &vm("a"))
        .await
        .unwrap();
    let metadata = &created.metadata;
    assert_eq!(metadata.uid.as_ref().unwrap().len(), 36);
    assert_eq!(metadata.generation, Some(1));
    assert_eq!(metadata.namespace.as_deref(), Some("default"));
    assert!(metadata.creation_timestamp.is_some());
    let fields = metadata.managed_fields.as_ref().unwrap();
    assert_eq!(fields.len(), 1);
    assert_eq!(fields[0].operation.as_deref(), Some("Update"));
}

#[tokio::test]
async fn a_stale_update_conflicts_and_an_equal_one_changes_nothing() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    let first = vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    let same = vms
        .replace("a", &PostParams::default(), &first)
        .await
        .unwrap();
    assert_eq!(
        same.metadata.resource_version,
        first.metadata.resource_version
    );
    let mut changed = first.clone();
    changed.data["spec"]["runStrategy"] = json!("Halted");
    let second = vms
        .replace("a", &PostParams::default(), &changed)
        .await
        .unwrap();
    assert_eq!(second.metadata.generation, Some(2));
    changed.data["spec"]["runStrategy"] = json!("Manual");
    let status = status_of(
        vms.replace("a", &PostParams::default(), &changed)
            .await
            .unwrap_err(),
    );
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        status.message,
        "Operation cannot be fulfilled on virtualmachines.kubevirt.io \"a\": the object has been modified; \
         please apply your changes to the latest version and try again"
    );
    changed.metadata.resource_version = None;
    let blind = status_of(
        vms.replace("a", &PostParams::default(), &changed)
            .await
            .unwrap_err(),
    );
    assert_eq!(blind.code, 422);
    assert!(
        blind.message.ends_with(
            "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
        )
    );
    let maps: Api<ConfigMap> = Api::namespaced(lab.client(), "default");
    let map = ConfigMap {
        metadata: vm("m").metadata,
        ..ConfigMap::default()
    };
    maps.create(&PostParams::default(), &map).await.unwrap();
    maps.replace("m", &PostParams::default(), &map)
        .await
        .unwrap();
}

#[tokio::test]
async fn status_is_apart_where_it_is_a_subresource() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    let mut object = vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    object.data["status"] = json!({"ready": true});
    let ignored = vms
        .replace("a", &PostParams::default(), &object)
        .await
        .unwrap();
    assert!(ignored.data["status"].is_null());
    assert_eq!(
        ignored.metadata.resource_version,
        object.metadata.resource_version
    );
    object.data["spec"]["runStrategy"] = json!("Halted");
    let stored = vms
        .replace_status("a", &PostParams::default(), &object)
        .await
        .unwrap();
    assert_eq!(stored.data["status"]["ready"], true);
    assert_eq!(stored.data["spec"]["runStrategy"], "Always");
    assert_eq!(stored.metadata.generation, Some(1));
    let managers = stored.metadata.managed_fields.unwrap();
    assert_eq!(
        managers
            .iter()
            .filter_map(|entry| entry.subresource.as_deref())
            .collect::<Vec<_>>(),
        ["status"]
    );

    let vmis = lab.api(
        "kubevirt.io",
        "v1",
        "VirtualMachineInstance",
        "virtualmachineinstances",
    );
    let vmi = dynamic(json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"generateName": "vmi-"},
        "spec": {}, "status": {"phase": "Pending"},
    }));
    let vmi = vmis.create(&PostParams::default(), &vmi).await.unwrap();
    assert_eq!(vmi.data["status"]["phase"], "Pending");
    let name = vmi.metadata.name.clone().unwrap();
    assert_eq!(name.len(), "vmi-".len() + 5);
    let missing = vmis
        .replace_status(&name, &PostParams::default(), &vmi)
        .await
        .unwrap_err();
    assert_eq!(status_of(missing).code, 404);
}

#[tokio::test]
async fn errors_are_kubernetes_own() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    let missing = status_of(vms.get("x").await.unwrap_err());
    assert_eq!(
        missing.message,
        "virtualmachines.kubevirt.io \"x\" not found"
    );
    vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    let exists = status_of(
        vms.create(&PostParams::default(), &vm("a"))
            .await
            .unwrap_err(),
    );
    assert_eq!(
        (exists.code, exists.reason.as_str()),
        (409, "AlreadyExists")
    );
    assert_eq!(
        exists.message,
        "virtualmachines.kubevirt.io \"a\" already exists"
    );
    let bad = status_of(
        vms.create(&PostParams::default(), &vm("Bad"))
            .await
            .unwrap_err(),
    );
    assert_eq!((bad.code, bad.reason.as_str()), (422, "Invalid"));
    assert!(bad.message.starts_with(
        "VirtualMachine.kubevirt.io \"Bad\" is invalid: metadata.name: Invalid value"
    ));
    let elsewhere: Api<ConfigMap> = Api::namespaced(lab.client(), "nowhere");
    let map = ConfigMap {
        metadata: vm("a").metadata,
        ..ConfigMap::default()
    };
    let nowhere = status_of(
        elsewhere
            .create(&PostParams::default(), &map)
            .await
            .unwrap_err(),
    );
    assert_eq!(nowhere.message, "namespaces \"nowhere\" not found");
    let anonymous: Api<Namespace> = Api::all(lab.client_as(None));
    let anonymous = status_of(anonymous.list(&ListParams::default()).await.unwrap_err());
    assert_eq!(anonymous.code, 403);
    assert_eq!(
        anonymous.message,
        "namespaces is forbidden: User \"system:anonymous\" cannot list resource \"namespaces\" in API group \"\" \
         at the cluster scope"
    );
    let unknown: Api<Namespace> = Api::all(lab.client_as(Some("wrong")));
    assert_eq!(
        status_of(unknown.list(&ListParams::default()).await.unwrap_err()).code,
        401
    );
}

#[tokio::test]
async fn pages_show_one_moment() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    for index in 0..5 {
        vms.create(&PostParams::default(), &vm(&format!("vm-{index}")))
            .await
            .unwrap();
    }
    let first = vms.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    vms.delete("vm-3", &DeleteParams::default()).await.unwrap();
    vms.create(&PostParams::default(), &vm("vm-4a"))
        .await
        .unwrap();
    let token = first.metadata.continue_.unwrap();
    let rest = vms
        .list(&ListParams::default().continue_token(&token))
        .await
        .unwrap();
    let names: Vec<_> = rest
        .items
        .iter()
        .map(|item| item.metadata.name.clone().unwrap())
        .collect();
    assert_eq!(names, ["vm-2", "vm-3", "vm-4"]);
    assert_eq!(
        rest.metadata.resource_version,
        first.metadata.resource_version
    );
    lab.server.inject(super::super::Fault::ExpireHistory);
    let late = vms
        .list(&ListParams::default().continue_token(&token))
        .await
        .unwrap_err();
    assert_eq!(status_of(late).code, 410);
}

#[tokio::test]
async fn a_pod_waits_for_its_kubelet() {
    let lab = Lab::start().await;
    let pods: Api<Pod> = Api::namespaced(lab.client(), "default");
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
    }))
    .unwrap();
    let created = pods.create(&PostParams::default(), &pod).await.unwrap();
    assert_eq!(created.status.unwrap().phase.as_deref(), Some("Pending"));
    let marked = pods
        .delete("p", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(marked.metadata.deletion_grace_period_seconds, Some(30));
    assert!(pods.get_opt("p").await.unwrap().is_some());
    pods.delete("p", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none());
}

#[tokio::test]
async fn the_log_has_each_request_once() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    vms.get("a").await.unwrap();
    vms.get("b").await.unwrap_err();
    lab.client().apiserver_version().await.unwrap();
    let log = lab.server.request_log();
    let short: Vec<_> = log
        .iter()
        .map(|record| {
            (
                record.verb.as_str(),
                record.resource.as_str(),
                record.name.as_str(),
                record.code.unwrap(),
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            ("create", "virtualmachines", "", 201),
            ("get", "virtualmachines", "a", 200),
            ("get", "virtualmachines", "b", 404),
            ("get", "", "", 200),
        ]
    );
    assert!(
        log.iter()
            .all(|record| record.user == "admin" && record.answered >= record.received)
    );
    assert_eq!(log[3].path, "/version");
}
