//! HTTP/2, admission, access, faults.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::Method;
use http_body_util::BodyExt;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use super::http2::{ask, http2, json_of};
use super::{Lab, status_of, vm};
use crate::apiserver::{AdmissionResponse, Fault, Options, UserInfo};

#[tokio::test]
async fn http2_carries_watches_and_requests_together() {
    let lab = Lab::start().await;
    let mut sender = http2(&lab).await;
    let path = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines";
    let mut watch = ask(
        &mut sender,
        Method::GET,
        &format!("{path}?watch=1"),
        &Value::Null,
    )
    .await;
    assert_eq!(watch.status(), 200);
    let object = serde_json::to_value(vm("a")).unwrap();
    let created = ask(&mut sender, Method::POST, path, &object).await;
    assert_eq!(created.status(), 201);
    let id = created.headers()["audit-id"].to_str().unwrap().to_owned();
    let frame = watch
        .body_mut()
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap();
    let event: Value = serde_json::from_slice(&frame).unwrap();
    assert_eq!(
        (
            event["type"].as_str(),
            event["object"]["metadata"]["name"].as_str()
        ),
        (Some("ADDED"), Some("a"))
    );
    let log = lab.server.request_log();
    assert_eq!(
        (log[0].verb.as_str(), log[1].verb.as_str()),
        ("watch", "create")
    );
    assert_eq!(
        (log[1].audit_id.as_str(), log[1].user_agent.as_str()),
        (id.as_str(), "virt-controller")
    );
}

#[tokio::test]
async fn head_has_no_body_and_discovery_has_all() {
    let lab = Lab::start().await;
    let mut sender = http2(&lab).await;
    let head = ask(
        &mut sender,
        Method::HEAD,
        "/api/v1/namespaces/default",
        &Value::Null,
    )
    .await;
    assert_eq!(head.status(), 200);
    assert!(
        head.into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
    let version = json_of(ask(&mut sender, Method::GET, "/version", &Value::Null).await).await;
    assert_eq!(version["gitVersion"], "v1.34.4");
    let list = json_of(
        ask(
            &mut sender,
            Method::GET,
            "/apis/kubevirt.io/v1",
            &Value::Null,
        )
        .await,
    )
    .await;
    let names: Vec<_> = list["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].clone())
        .collect();
    assert!(names.contains(&json!("virtualmachines/status")));
    assert!(!names.contains(&json!("virtualmachineinstances/status")));
    let none = ask(
        &mut sender,
        Method::GET,
        "/apis/nothing.io/v1/things",
        &Value::Null,
    )
    .await;
    assert_eq!(none.status(), 404);
    let review = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json_of(ask(&mut sender, Method::POST, path, &review).await).await;
    assert_eq!(review["status"]["allowed"], true);
}

#[tokio::test]
async fn methods_and_media_types_that_do_not_exist() {
    let lab = Lab::start().await;
    let mut sender = http2(&lab).await;
    let table = [
        (Method::POST, "/api/v1/namespaces/default/pods/x", 405),
        (Method::PUT, "/api/v1/namespaces/default/pods", 405),
        (Method::PATCH, "/api/v1/namespaces/default/pods/x", 415),
        (Method::DELETE, "/api/v1/pods", 405),
        (Method::GET, "/api/v1/namespaces/default/nodes", 404),
        (Method::GET, "/api/v1/namespaces/default/pods/x/exec", 404),
        (Method::GET, "/api/v1/pods?fieldSelector=spec.x%3D1", 400),
        (Method::GET, "/api/v1/pods?labelSelector=a%20b", 400),
        (Method::GET, "/api/v1/pods?resourceVersion=x", 400),
        (Method::GET, "/api/v1/pods?resourceVersion=999999", 504),
        (Method::GET, "/api/v1/pods?resourceVersionMatch=Exact", 422),
        (Method::POST, "/api/v1/namespaces/default/pods", 400),
    ];
    for (method, path, code) in table {
        let response = ask(&mut sender, method.clone(), path, &Value::Null).await;
        assert_eq!(response.status().as_u16(), code, "{method} {path}");
        let status = json_of(response).await;
        assert_eq!(
            (status["kind"].as_str(), status["code"].as_u64()),
            (Some("Status"), Some(u64::from(code)))
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_logged_without_a_code() {
    let lab = Lab::start().await;
    let asked = Arc::new(tokio::sync::Notify::new());
    let notify = asked.clone();
    lab.server.set_admission(
        &[("kubevirt.io", "virtualmachines")],
        Arc::new(move |_| {
            notify.notify_one();
            futures_util::future::pending().boxed()
        }),
    );
    let vms = lab.vms();
    let create = tokio::spawn(async move { vms.create(&PostParams::default(), &vm("a")).await });
    asked.notified().await;
    create.abort();
    while lab.server.log_len() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(lab.server.request_log()[0].code, None);
}

#[tokio::test]
async fn admission_changes_and_denies() {
    let lab = Lab::start().await;
    lab.server.set_admission(
        &[("kubevirt.io", "virtualmachines")],
        Arc::new(|request| {
            let mut object = request.object;
            let response = if request.name == "bad" {
                AdmissionResponse::Deny(422, "no such machine".to_owned())
            } else {
                object["spec"]["architecture"] = json!("amd64");
                AdmissionResponse::Mutate(object)
            };
            async move { response }.boxed()
        }),
    );
    let vms = lab.vms();
    let stored = vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    assert_eq!(stored.data["spec"]["architecture"], "amd64");
    let denied = status_of(
        vms.create(&PostParams::default(), &vm("bad"))
            .await
            .unwrap_err(),
    );
    assert_eq!(denied.code, 422);
    assert!(
        denied
            .message
            .ends_with("denied the request: no such machine"),
        "{}",
        denied.message
    );
}

#[tokio::test]
async fn the_hook_denies() {
    let deny = |user: &UserInfo, verb: &str, group: &str, resource: &str| {
        (user.name.as_str(), verb, group, resource)
            == ("mallory", "list", "kubevirt.io", "virtualmachines")
    };
    let lab = Lab::with(Options {
        deny: Some(Arc::new(deny)),
        ..Options::default()
    })
    .await;
    lab.server.add_token(
        "m",
        UserInfo {
            name: "mallory".to_owned(),
            groups: vec![],
        },
    );
    let vms: kube::Api<kube::api::DynamicObject> = kube::Api::namespaced_with(
        lab.client_as(Some("m")),
        "default",
        &kube::core::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(
            "kubevirt.io",
            "v1",
            "VirtualMachine",
        )),
    );
    let denied = status_of(vms.list(&ListParams::default()).await.unwrap_err());
    assert_eq!(
        denied.message,
        "virtualmachines.kubevirt.io is forbidden: User \"mallory\" cannot list resource \"virtualmachines\" in API \
         group \"kubevirt.io\" in the namespace \"default\""
    );
    assert_eq!(status_of(vms.get("a").await.unwrap_err()).code, 404);
}

#[tokio::test]
async fn ordered_faults_happen() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    lab.server.inject(Fault::ThrottleMutating(2));
    vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    assert_eq!(
        status_of(
            vms.create(&PostParams::default(), &vm("b"))
                .await
                .unwrap_err()
        )
        .code,
        429
    );
    vms.create(&PostParams::default(), &vm("b")).await.unwrap();
    lab.server.inject(Fault::ThrottleMutating(0));
    lab.server
        .inject(Fault::DelayBodies(Duration::from_millis(30)));
    let before = tokio::time::Instant::now();
    vms.get("a").await.unwrap();
    assert!(before.elapsed() >= Duration::from_millis(30));
}
