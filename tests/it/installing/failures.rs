//! Attaches that can't succeed: each says why and whose turn it is, and leaves nothing.

use std::{
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
};

use serde_json::{Value, json};

use super::{Stage, attach, installer, run, said};
use crate::support::{
    kubevirt::{NAMESPACE, create, free_ports},
    wait,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_attach_that_fails_says_why_and_puts_everything_back() {
    let Some(mut stage) = Stage::set(json!({"customizeComponents": {}})).await else {
        return;
    };
    let before = stage.kubevirt.specs().await;
    let said = said(&stage.run(&["attach"], 2));
    assert!(said.contains("deploy/image/build"), "{said}");
    no_reference();
    no_rights(&stage).await;
    foreign_objects(&stage).await;
    other_operators(&stage).await;
    the_nodes_network(&stage).await;
    an_old_virt_operator(&stage).await;
    a_late_patch_by_index(&stage).await;
    assert_eq!(stage.kubevirt.specs().await, before);

    rollout_that_never_ends(&stage, &before).await;
    a_quota_that_asks_for_limits(&stage, &before).await;
    calls_that_never_come(&stage, &before).await;
    interrupted(&stage, &before).await;
    a_new_image_that_fails(&stage).await;
    stage.run(&["detach"], 0);
    stage.kubevirt.settle().await;
    assert_eq!(stage.kubevirt.specs().await, before);
    assert!(!stage.has_objects().await);
    what_can_not_be_put_back(&mut stage).await;
}

/// No cluster is asked before the image's name is looked at.
fn no_reference() {
    for image in ["kubetoll: local", "Kubetoll:local"] {
        let said = said(&run("/nowhere".as_ref(), &["attach", "--image", image], 2));
        assert!(said.contains("is no image"), "{said}");
    }
}

/// Everything is as it was, and no object of ours is left.
async fn nothing_is_left(stage: &Stage, before: &[Value]) {
    stage.kubevirt.settle().await;
    assert_eq!(stage.kubevirt.specs().await, before);
    assert!(!stage.has_objects().await);
}

async fn no_rights(stage: &Stage) {
    let kubevirt = &stage.kubevirt;
    let here = ["--namespace", NAMESPACE];
    for (at, (verb, resource, missing)) in [
        ("get", "pods/proxy", "you may not get pods/proxy;"),
        (
            "list",
            "kubevirts",
            "you may not list kubevirts.kubevirt.io;",
        ),
        (
            "update",
            "deployments",
            "you may not update deployments.apps virt-operator;",
        ),
        (
            "create",
            "secrets",
            "you may not create secrets, create configmaps;",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let user = installer(kubevirt, &format!("user-{at}"), Some((verb, resource))).await;
        let said = said(&attach(&user, "virt-api,virt-operator", &here, 1));
        assert!(said.contains(missing), "{said}");
    }
    assert!(!stage.has_objects().await);
}

async fn foreign_objects(stage: &Stage) {
    let name = "kubetoll-proxy-tls";
    let theirs = json!({"metadata": {"name": name}, "data": {}});
    create(&stage.kubevirt.client, NAMESPACE, "Secret", theirs).await;
    let said = said(&stage.attach("virt-api", &[], 1));
    assert!(
        said.contains("Secret kubetoll-proxy-tls is there and not Kubetoll's"),
        "{said}"
    );
    stage.run(&["detach"], 0);
    assert!(
        !stage.kubevirt.get("Secret", name).await.is_null(),
        "it was deleted"
    );
    stage.kubevirt.delete("Secret", name).await;
}

async fn other_operators(stage: &Stage) {
    let kubevirt = &stage.kubevirt;
    let label = |label: &str, value: Value| json!({"metadata": {"labels": {label: value}}});
    let managed = "app.kubernetes.io/managed-by";
    kubevirt
        .merge(
            "KubeVirt",
            "kubevirt",
            label(managed, json!("hco-operator")),
        )
        .await;
    let refused = said(&stage.attach("virt-api", &[], 1));
    assert!(
        refused.contains("kubevirt.kubevirt.io/jsonpatch"),
        "{refused}"
    );
    let printed = stage.attach("virt-api", &["--dry-run", "--output", "yaml"], 0);
    assert!(said(&printed).contains("kubevirt.kubevirt.io/jsonpatch"));
    assert!(String::from_utf8_lossy(&printed.stdout).contains("kind: KubeVirt"));
    kubevirt
        .merge("KubeVirt", "kubevirt", label(managed, Value::Null))
        .await;
    kubevirt
        .merge(
            "Deployment",
            "virt-operator",
            label("olm.owner", json!("kubevirt")),
        )
        .await;
    let refused = said(&stage.attach("virt-operator", &[], 1));
    assert!(
        refused.contains("its Subscription's spec.config"),
        "{refused}"
    );
    kubevirt
        .merge(
            "Deployment",
            "virt-operator",
            label("olm.owner", Value::Null),
        )
        .await;
    let refused = said(&stage.attach("virt-operator", &["--mode", "kubeconfig"], 1));
    assert!(refused.contains("use --mode sidecar"), "{refused}");
}

async fn the_nodes_network(stage: &Stage) {
    let network = |host: Value| json!({"spec": {"template": {"spec": {"hostNetwork": host}}}});
    let kubevirt = &stage.kubevirt;
    kubevirt
        .merge("Deployment", "virt-operator", network(json!(true)))
        .await;
    let said = said(&stage.attach("virt-operator", &[], 1));
    assert!(
        said.contains("its pods use the network of their node"),
        "{said}"
    );
    kubevirt
        .merge("Deployment", "virt-operator", network(Value::Null))
        .await;
    kubevirt.settle().await;
}

/// It would drop `restartPolicy` from the patch.
async fn an_old_virt_operator(stage: &Stage) {
    for (version, code) in [(json!("v1.2.2"), 1), (Value::Null, 0)] {
        let status = json!({"observedKubeVirtVersion": version});
        stage
            .kubevirt
            .merge_status("KubeVirt", "kubevirt", status)
            .await;
        let more: &[&str] = if code == 0 { &["--dry-run"] } else { &[] };
        let said = said(&stage.attach("virt-api", more, code));
        let line = "kubetoll: KubeVirt is v1.2.2: its virt-operator knows no native sidecars, which \
                    came with KubeVirt 1.3";
        assert_eq!(said.lines().any(|one| one == line), code == 1, "{said}");
    }
}

/// virt-operator applies the longest patch last.
async fn a_late_patch_by_index(stage: &Stage) {
    let operations = json!([
        {"op": "add", "path": "/spec/template/spec/volumes/0",
            "value": {"name": "theirs", "hostPath": {"path": format!("/{}", "x".repeat(4_000))}}},
    ]);
    let patches = |patches: Value| json!({"spec": {"customizeComponents": {"patches": patches}}});
    let theirs = json!([{
        "resourceType": "Deployment", "resourceName": "virt-api", "type": "json",
        "patch": operations.to_string(),
    }]);
    stage
        .kubevirt
        .merge("KubeVirt", "kubevirt", patches(theirs))
        .await;
    let warned = said(&stage.attach("virt-api", &["--dry-run"], 0));
    let warning = "virt-api: a JSON patch of customizeComponents at /spec/template/spec/volumes/0 is \
                   applied after the proxy's, since it is longer; its number may be another \
                   element's then: use a strategic merge patch";
    assert!(warned.contains(warning), "{warned}");
    let handler = said(&stage.attach("virt-handler", &["--dry-run"], 0));
    assert!(!handler.contains("customizeComponents at"), "{handler}");
    stage
        .kubevirt
        .merge("KubeVirt", "kubevirt", patches(Value::Null))
        .await;
    stage.kubevirt.settle().await;
}

/// A Deployment says so in its conditions, a DaemonSet only by events.
async fn a_quota_that_asks_for_limits(stage: &Stage, before: &[Value]) {
    for (component, from) in [
        ("virt-api", "ReplicaFailure FailedCreate: pods \"virt-api-"),
        ("virt-handler", "event FailedCreate: pods \"virt-handler-"),
    ] {
        *stage.kubevirt.faults.no_quota.lock().unwrap() = Some(component);
        let said = said(&stage.attach(component, &["--timeout", "5s"], 1));
        assert!(said.contains(from), "{said}");
        assert!(
            said.contains("must specify limits.cpu for: kubetoll-proxy"),
            "{said}"
        );
        *stage.kubevirt.faults.no_quota.lock().unwrap() = None;
        nothing_is_left(stage, before).await;
    }
}

/// The first component is attached already when the second one fails: both come back.
async fn rollout_that_never_ends(stage: &Stage, before: &[Value]) {
    *stage.kubevirt.faults.no_image.lock().unwrap() = Some("virt-controller");
    let said = said(&stage.attach("virt-controller,virt-api", &["--timeout", "5s"], 1));
    assert!(said.contains("virt-api: wait for its calls"), "{said}");
    assert!(
        said.contains("the rollout of virt-controller did not end within 5 s"),
        "{said}"
    );
    let reason = "container kubetoll-proxy: ImagePullBackOff";
    assert!(said.contains(&format!("{reason} ...")), "{said}");
    assert!(said.contains(&format!("{reason}; putting")), "{said}");
    assert!(
        said.contains("; everything was put back as it was"),
        "{said}"
    );
    *stage.kubevirt.faults.no_image.lock().unwrap() = None;
    nothing_is_left(stage, before).await;
}

async fn calls_that_never_come(stage: &Stage, before: &[Value]) {
    stage.kubevirt.faults.silent.store(true, Ordering::Relaxed);
    let said = said(&stage.attach("virt-handler", &["--timeout", "5s"], 1));
    assert!(
        said.contains("no calls of virt-handler were seen within 5 s"),
        "{said}"
    );
    assert!(said.contains("does not use its proxy"), "{said}");
    stage.kubevirt.faults.silent.store(false, Ordering::Relaxed);
    nothing_is_left(stage, before).await;
}

/// An attach of virt-operator whose Deployment is patched and will never be ready.
async fn attaching_operator(stage: &Stage) -> Child {
    let port = free_ports().to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .args([
            "attach",
            "--image",
            "missing",
            "--component",
            "virt-operator",
        ])
        .args(["--port", &port, "--kubeconfig"])
        .arg(&stage.admin)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait::until("the patch of virt-operator", async || {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "the attach ended early");
        let operator = stage.kubevirt.get("Deployment", "virt-operator").await;
        let annotations = &operator["metadata"]["annotations"];
        annotations.get("kubetoll.dev/original").is_some()
    })
    .await;
    child
}

/// Ctrl-C while virt-operator's own Deployment rolls.
async fn interrupted(stage: &Stage, before: &[Value]) {
    let child = attaching_operator(stage).await;
    let interrupt = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.contains("interrupted; everything was put back as it was"),
        "{said}"
    );
    let operator = stage.kubevirt.get("Deployment", "virt-operator").await;
    assert!(
        operator["metadata"]["annotations"]
            .get("kubetoll.dev/original")
            .is_none()
    );
    nothing_is_left(stage, before).await;
}

/// What was attached before stays attached, as it was.
async fn a_new_image_that_fails(stage: &Stage) {
    for component in ["virt-api", "virt-operator"] {
        stage.attach(component, &[], 0);
    }
    owned_by_now(stage).await;
    let attached = stage.kubevirt.specs().await;
    for component in ["virt-api", "virt-operator"] {
        let more = ["--image", "missing", "--timeout", "5s"];
        let said = said(&stage.attach(component, &more, 1));
        assert!(
            said.contains("ImagePullBackOff; everything was put back as it was"),
            "{said}"
        );
        stage.kubevirt.settle().await;
        assert_eq!(stage.kubevirt.specs().await, attached);
    }
    assert!(stage.has_objects().await);
    let status = run(&stage.admin, &["status", "--window", "0s"], 0);
    let text = String::from_utf8_lossy(&status.stdout);
    assert_eq!(
        text.matches("1 of 1 pods ready, 5 calls").count(),
        2,
        "{text}"
    );
}

/// What another operator owns, it must let go of first.
async fn owned_by_now(stage: &Stage) {
    for (owner, code) in [(json!("hco-operator"), 1), (Value::Null, 0)] {
        let label = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": owner}}});
        stage.kubevirt.merge("KubeVirt", "kubevirt", label).await;
        if code == 1 {
            let said = said(&stage.run(&["detach"], code));
            assert!(said.contains("then run `kubetoll detach` again"), "{said}");
        }
    }
}

/// The API server goes away for good: what is left is told.
async fn what_can_not_be_put_back(stage: &mut Stage) {
    let child = attaching_operator(stage).await;
    stage.kubevirt.stop_doubles();
    stage.kubevirt.cluster.kill_apiserver().await;
    let output = child.wait_with_output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("putting everything back failed"), "{said}");
    assert!(said.contains("`kubetoll detach` does the rest"), "{said}");
}
