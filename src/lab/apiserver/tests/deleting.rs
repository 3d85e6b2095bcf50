//! Finalizers, owners, namespaces, collections.

use futures_util::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy,
};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;

use super::{Lab, dynamic, status_of, vm};

/// Waits, by a watch, until no object of the name is left.
async fn gone<K>(api: Api<K>, name: &str)
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let stream = watcher::watch_object(api, name).default_backoff();
    pin_mut!(stream);
    while stream.next().await.unwrap().unwrap().is_some() {}
}

fn owned(name: &str, owner: &DynamicObject) -> DynamicObject {
    dynamic(json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine",
        "metadata": {"name": name, "ownerReferences": [{
            "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "blockOwnerDeletion": true,
            "name": owner.metadata.name, "uid": owner.metadata.uid,
        }]},
    }))
}

fn finalizers(list: &[&str]) -> serde_json::Value {
    json!({"metadata": {"finalizers": list}})
}

#[tokio::test]
async fn a_finalizer_holds_an_object() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    let merge = PatchParams::default();
    vms.patch("a", &merge, &Patch::Merge(finalizers(&["kubevirt.io/x"])))
        .await
        .unwrap();
    let marked = vms
        .delete("a", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert!(marked.metadata.deletion_timestamp.is_some());
    let version = marked.metadata.resource_version;
    let again = vms
        .delete("a", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(again.metadata.resource_version, version);
    let more = vms
        .patch(
            "a",
            &merge,
            &Patch::Merge(finalizers(&["kubevirt.io/x", "y/z"])),
        )
        .await;
    assert_eq!(status_of(more.unwrap_err()).code, 422);
    vms.patch("a", &merge, &Patch::Merge(finalizers(&[])))
        .await
        .unwrap();
    assert!(vms.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn preconditions_are_checked() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    let preconditions = kube::api::Preconditions {
        uid: Some("other".to_owned()),
        resource_version: None,
    };
    let params = DeleteParams {
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    let refused = status_of(vms.delete("a", &params).await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    assert!(
        vms.delete("a", &DeleteParams::default())
            .await
            .unwrap()
            .is_right()
    );
}

#[tokio::test]
async fn dependents_follow_their_owner() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    let post = PostParams::default();
    let owner = vms.create(&post, &vm("owner")).await.unwrap();
    let child = vms.create(&post, &owned("child", &owner)).await.unwrap();
    vms.create(&post, &owned("grandchild", &child))
        .await
        .unwrap();
    vms.delete("owner", &DeleteParams::background())
        .await
        .unwrap();
    gone(vms.clone(), "child").await;
    gone(vms.clone(), "grandchild").await;
    vms.create(&post, &owned("late", &owner)).await.unwrap();
    gone(vms.clone(), "late").await;
    // The collector's own deletions are no requests.
    let deletes = lab
        .server
        .request_log()
        .iter()
        .filter(|record| record.verb == "delete")
        .count();
    assert_eq!(deletes, 1);
}

#[tokio::test]
async fn foreground_waits_and_orphan_sets_free() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    let post = PostParams::default();
    let owner = vms.create(&post, &vm("owner")).await.unwrap();
    let child = vms.create(&post, &owned("child", &owner)).await.unwrap();
    vms.create(&post, &owned("grandchild", &child))
        .await
        .unwrap();
    vms.patch(
        "child",
        &PatchParams::default(),
        &Patch::Merge(finalizers(&["a/b"])),
    )
    .await
    .unwrap();
    vms.delete("owner", &DeleteParams::foreground())
        .await
        .unwrap();
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    vms.delete("child", &orphan).await.unwrap();
    assert!(vms.get_opt("owner").await.unwrap().is_some());
    let free = kube::runtime::wait::await_condition(
        vms.clone(),
        "grandchild",
        |object: Option<&DynamicObject>| {
            object.is_some_and(|object| {
                object.metadata.owner_references.iter().flatten().count() == 0
            })
        },
    );
    free.await.unwrap();
    vms.patch(
        "child",
        &PatchParams::default(),
        &Patch::Merge(finalizers(&[])),
    )
    .await
    .unwrap();
    gone(vms.clone(), "owner").await;
    assert!(vms.get_opt("grandchild").await.unwrap().is_some());
}

#[tokio::test]
async fn a_namespace_goes_with_its_contents() {
    let lab = Lab::start().await;
    let namespaces: Api<Namespace> = Api::all(lab.client());
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(lab.client(), "n");
    let map = |name: &str| ConfigMap {
        metadata: vm(name).metadata,
        ..ConfigMap::default()
    };
    for name in ["a", "b"] {
        maps.create(&PostParams::default(), &map(name))
            .await
            .unwrap();
    }
    maps.patch(
        "a",
        &PatchParams::default(),
        &Patch::Merge(finalizers(&["a/b"])),
    )
    .await
    .unwrap();
    let marked = namespaces
        .delete("n", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(marked.status.unwrap().phase.as_deref(), Some("Terminating"));
    let late = status_of(
        maps.create(&PostParams::default(), &map("c"))
            .await
            .unwrap_err(),
    );
    assert_eq!(late.code, 403);
    assert!(
        late.message.ends_with("because it is being terminated"),
        "{}",
        late.message
    );
    gone(maps.clone(), "b").await;
    assert!(namespaces.get_opt("n").await.unwrap().is_some());
    maps.patch("a", &PatchParams::default(), &Patch::Merge(finalizers(&[])))
        .await
        .unwrap();
    gone(namespaces, "n").await;
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut object = vm(name);
        object.metadata.labels = Some([("l".to_owned(), label.to_owned())].into());
        vms.create(&PostParams::default(), &object).await.unwrap();
    }
    let selected = ListParams::default().labels("l=x");
    let removed = vms
        .delete_collection(&DeleteParams::default(), &selected)
        .await
        .unwrap();
    assert_eq!(removed.left().unwrap().items.len(), 2);
    let left = vms.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 1);
    assert_eq!(lab.server.request_log()[3].verb, "deletecollection");
}
