//! Patches: strategic merge by table, the others over the wire.

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Lab, status_of, vm};
use crate::apiserver::writing::strategic;

/// Name, stored value, patch, result.
type Case = (&'static str, Value, Value, Value);

fn check(cases: &[Case]) {
    for (name, old, patch, expected) in cases {
        assert_eq!(strategic::merged(old, patch), *expected, "{name}");
    }
}

#[test]
fn maps_merge_and_obey_directives() {
    check(&[
        (
            "scalars",
            json!({"a": 1, "b": 2}),
            json!({"a": 3}),
            json!({"a": 3, "b": 2}),
        ),
        (
            "null deletes",
            json!({"a": {"b": 1, "c": 2}}),
            json!({"a": {"b": null}}),
            json!({"a": {"c": 2}}),
        ),
        (
            "other lists are replaced",
            json!({"args": [1, 2]}),
            json!({"args": [3]}),
            json!({"args": [3]}),
        ),
        (
            "a new map has no nulls",
            json!({}),
            json!({"a": {"b": null, "c": 1}}),
            json!({"a": {"c": 1}}),
        ),
        (
            "a map is deleted",
            json!({"m": {"a": 1}}),
            json!({"m": {"$patch": "delete"}}),
            json!({}),
        ),
        (
            "a map is replaced",
            json!({"m": {"a": 1}}),
            json!({"m": {"$patch": "replace", "b": 2}}),
            json!({"m": {"b": 2}}),
        ),
        (
            "keys are retained",
            json!({"strategy": {"type": "A", "rolling": {}}}),
            json!({"strategy": {"$retainKeys": ["type"], "type": "B"}}),
            json!({"strategy": {"type": "B"}}),
        ),
    ]);
}

#[test]
fn lists_merge_by_their_keys() {
    check(&[
        (
            "containers by name",
            json!({"containers": [{"name": "a", "image": "x"}, {"name": "b"}]}),
            json!({"containers": [{"name": "b", "image": "z"}, {"name": "c"}]}),
            json!({"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "z"}, {"name": "c"}]}),
        ),
        (
            "environment in a container, new elements first",
            json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}]}]}),
            json!({"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}]}),
            json!({"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]}]}),
        ),
        (
            "in the order asked for",
            json!({"volumes": [{"name": "a"}, {"name": "b"}]}),
            json!({"volumes": [{"name": "c"}], "$setElementOrder/volumes": [{"name": "b"}, {"name": "c"}, {"name": "a"}]}),
            json!({"volumes": [{"name": "b"}, {"name": "c"}, {"name": "a"}]}),
        ),
        (
            "conditions by type",
            json!({"conditions": [{"type": "Ready", "status": "False"}, {"type": "Other", "status": "True"}]}),
            json!({"conditions": [{"type": "Ready", "status": "True"}]}),
            json!({"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "True"}]}),
        ),
        (
            "an element is deleted",
            json!({"volumes": [{"name": "a"}, {"name": "b"}]}),
            json!({"volumes": [{"name": "a", "$patch": "delete"}]}),
            json!({"volumes": [{"name": "b"}]}),
        ),
        (
            "a list is replaced",
            json!({"volumes": [{"name": "a"}]}),
            json!({"volumes": [{"$patch": "replace"}, {"name": "c"}]}),
            json!({"volumes": [{"name": "c"}]}),
        ),
    ]);
}

#[test]
fn lists_of_scalars_are_sets() {
    check(&[
        (
            "finalizers",
            json!({"finalizers": ["a", "b"]}),
            json!({"finalizers": ["b", "c"]}),
            json!({"finalizers": ["a", "b", "c"]}),
        ),
        (
            "elements are deleted",
            json!({"finalizers": ["a", "b"]}),
            json!({"$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["b"]}),
            json!({"finalizers": ["b"]}),
        ),
    ]);
}

#[tokio::test]
async fn a_json_patch_applies_or_not() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    let first = vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    let apply = async |patch: Value| {
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
        vms.patch("a", &PatchParams::default(), &Patch::Json::<()>(patch))
            .await
    };
    let failed = apply(json!([{"op": "test", "path": "/spec/runStrategy", "value": "Manual"}]))
        .await
        .unwrap_err();
    let failed = status_of(failed);
    assert_eq!((failed.code, failed.reason.as_str()), (422, "Invalid"));
    assert_eq!(
        failed.message,
        "the server rejected our request due to an error in our request"
    );
    let same = apply(json!([
        {"op": "test", "path": "/metadata/labels", "value": null},
        {"op": "test", "path": "/spec/runStrategy", "value": "Always"},
    ]));
    assert_eq!(
        same.await.unwrap().metadata.resource_version,
        first.metadata.resource_version
    );
    let changed = apply(json!([{"op": "add", "path": "/metadata/labels", "value": {"x": "y"}}]))
        .await
        .unwrap();
    assert_eq!(changed.metadata.labels.unwrap()["x"], "y");
    assert_eq!(changed.metadata.generation, Some(1));
}

#[tokio::test]
async fn a_merge_patch_with_a_version_can_conflict() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    let params = PatchParams::default();
    let patch = json!({"spec": {"runStrategy": "Halted"}});
    let changed = vms
        .patch("a", &params, &Patch::Merge(&patch))
        .await
        .unwrap();
    assert_eq!(changed.metadata.generation, Some(2));
    let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"runStrategy": "Always"}});
    assert_eq!(
        status_of(
            vms.patch("a", &params, &Patch::Merge(&stale))
                .await
                .unwrap_err()
        )
        .code,
        409
    );
    let strategic = status_of(
        vms.patch("a", &params, &Patch::Strategic(&patch))
            .await
            .unwrap_err(),
    );
    assert_eq!(
        (strategic.code, strategic.reason.as_str()),
        (415, "UnsupportedMediaType")
    );
    let status = json!({"status": {"ready": true}, "spec": {"runStrategy": "Manual"}});
    let patched = vms
        .patch_status("a", &params, &Patch::Merge(&status))
        .await
        .unwrap();
    assert_eq!(
        (
            &patched.data["status"]["ready"],
            &patched.data["spec"]["runStrategy"]
        ),
        (&json!(true), &json!("Halted"))
    );
}

#[tokio::test]
async fn apply_creates_and_merges() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client(), "default");
    let params = PatchParams::apply("tester");
    for data in [json!({"a": "1"}), json!({"b": "2"})] {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data});
        maps.patch("m", &params, &Patch::Apply(&map)).await.unwrap();
    }
    let map = maps.get("m").await.unwrap();
    assert_eq!(
        serde_json::to_value(map.data).unwrap(),
        json!({"a": "1", "b": "2"})
    );
    let fields = map.metadata.managed_fields.unwrap();
    assert_eq!(
        (fields[0].manager.as_deref(), fields[0].operation.as_deref()),
        (Some("tester"), Some("Apply"))
    );
    let codes: Vec<_> = lab
        .server
        .request_log()
        .iter()
        .map(|record| record.code)
        .collect();
    assert_eq!(codes, [Some(201), Some(200), Some(200)]);
}

#[tokio::test]
async fn unconditional_writers_never_conflict() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client(), "default");
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "m"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let writers = (0..20).map(|index| {
        let maps = maps.clone();
        tokio::spawn(async move {
            let patch = json!({"data": {format!("k{index}"): "v"}});
            maps.patch("m", &PatchParams::default(), &Patch::Strategic(&patch))
                .await
                .unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(maps.get("m").await.unwrap().data.unwrap().len(), 20);
}

#[tokio::test]
async fn a_binding_schedules_once() {
    let lab = Lab::start().await;
    let pods: Api<Pod> = Api::namespaced(lab.client(), "default");
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}});
    pods.create(
        &PostParams::default(),
        &serde_json::from_value(pod).unwrap(),
    )
    .await
    .unwrap();
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "n1"}});
    let post = PostParams::default();
    let bind = || pods.create_subresource::<Value, Value>("binding", "p", &post, &binding);
    bind().await.unwrap();
    let pod = pods.get("p").await.unwrap();
    assert_eq!(pod.spec.unwrap().node_name.as_deref(), Some("n1"));
    assert_eq!(
        pod.status.unwrap().conditions.unwrap()[0].type_,
        "PodScheduled"
    );
    let again = status_of(bind().await.unwrap_err());
    assert_eq!(again.code, 409);
    assert!(
        again
            .message
            .ends_with("pod p is already assigned to node \"n1\""),
        "{}",
        again.message
    );
}
