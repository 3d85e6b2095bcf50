//! What is answered in which form: tables, metadata, discovery, selected fields, dry runs.

use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};

use super::http2::{ask, ask_as, http2, json_of};
use super::{Lab, vm};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const METADATA: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

#[tokio::test]
async fn a_list_as_table_and_as_metadata() {
    let lab = Lab::start().await;
    lab.vms()
        .create(&PostParams::default(), &vm("a"))
        .await
        .unwrap();
    let mut sender = http2(&lab).await;
    let path = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines";
    let table = json_of(ask_as(&mut sender, Method::GET, path, &Value::Null, TABLE).await).await;
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    assert_eq!(
        table["rows"][0]["cells"],
        json!(["a", "<none>", "<none>", "0s"])
    );
    assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "a");
    let list = json_of(ask_as(&mut sender, Method::GET, path, &Value::Null, METADATA).await).await;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"][0]["spec"].is_null());
    let none = ask_as(&mut sender, Method::GET, path, &Value::Null, "text/html").await;
    assert_eq!(none.status(), 406);
}

#[tokio::test]
async fn aggregated_discovery_names_kinds_and_subresources() {
    let lab = Lab::start().await;
    let mut sender = http2(&lab).await;
    let response = ask_as(&mut sender, Method::GET, "/apis", &Value::Null, AGGREGATED).await;
    let content_type = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        content_type.ends_with("as=APIGroupDiscoveryList"),
        "{content_type}"
    );
    let groups = json_of(response).await;
    let groups = groups["items"].as_array().unwrap();
    let kubevirt = groups
        .iter()
        .find(|group| group["metadata"]["name"] == "kubevirt.io")
        .unwrap();
    let resources = kubevirt["versions"][0]["resources"].as_array().unwrap();
    let of = |name: &str| {
        resources
            .iter()
            .find(|resource| resource["resource"] == name)
            .unwrap()
    };
    assert_eq!(
        of("virtualmachines")["subresources"][0]["subresource"],
        "status"
    );
    assert!(of("virtualmachineinstances")["subresources"].is_null());
    let core =
        json_of(ask_as(&mut sender, Method::GET, "/api", &Value::Null, AGGREGATED).await).await;
    assert_eq!(core["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn pods_are_selected_by_their_fields() {
    let lab = Lab::start().await;
    let pods: Api<Pod> = Api::namespaced(lab.client(), "default");
    for (name, node) in [("a", Some("n1")), ("b", Some("n2")), ("c", None)] {
        let pod = json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [{"name": "c"}]}});
        pods.create(
            &PostParams::default(),
            &serde_json::from_value(pod).unwrap(),
        )
        .await
        .unwrap();
    }
    let cases = [
        ("spec.nodeName=n1", vec!["a"]),
        ("spec.nodeName!=n1", vec!["b", "c"]),
        ("spec.nodeName=", vec!["c"]),
        ("status.phase=Pending,metadata.name=b", vec!["b"]),
        ("metadata.namespace=other", vec![]),
        ("spec.hostNetwork=false", vec!["a", "b", "c"]),
    ];
    for (fields, expected) in cases {
        let list = pods
            .list(&ListParams::default().fields(fields))
            .await
            .unwrap();
        let names: Vec<_> = list
            .items
            .iter()
            .map(|pod| pod.metadata.name.as_deref().unwrap())
            .collect();
        assert_eq!(names, expected, "{fields}");
    }
    let log = lab.server.request_log();
    assert_eq!((log[6].verb.as_str(), log[6].name.as_str()), ("list", "b"));
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    assert!(
        vms.create(&dry, &vm("a"))
            .await
            .unwrap()
            .metadata
            .uid
            .is_some()
    );
    assert!(vms.get_opt("a").await.unwrap().is_none());
    let stored = vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    let mut changed = stored.clone();
    changed.data["spec"]["runStrategy"] = json!("Halted");
    assert_eq!(
        vms.replace("a", &dry, &changed).await.unwrap().data["spec"]["runStrategy"],
        "Halted"
    );
    assert_eq!(vms.get("a").await.unwrap().data, stored.data);
}

#[tokio::test]
async fn an_exact_list_shows_the_past() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    let first = vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    vms.create(&PostParams::default(), &vm("b")).await.unwrap();
    vms.delete("a", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let version = first.metadata.resource_version.unwrap();
    let mut sender = http2(&lab).await;
    let path = "/apis/kubevirt.io/v1/virtualmachines?resourceVersionMatch=Exact&resourceVersion=";
    let list = json_of(
        ask(
            &mut sender,
            Method::GET,
            &format!("{path}{version}"),
            &Value::Null,
        )
        .await,
    )
    .await;
    assert_eq!(list["metadata"]["resourceVersion"], version);
    let names: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["metadata"]["name"])
        .collect();
    assert_eq!(names, ["a"]);
}
