//! Attaches that can't succeed: each says why and whose turn it is, and leaves nothing.

use std::{
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
};

use serde_json::{Value, json};

use super::{Stage, attach, installer, put_back_after, run, said};
use crate::support::{
    kubevirt::{NAMESPACE, create, free_ports},
    lines::assert_line,
    wait,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_attach_that_fails_says_why_and_puts_everything_back() {
    let Some(mut stage) = Stage::set(json!({"customizeComponents": {}})).await else {
        return;
    };
    let before = stage.kubevirt.specs().await;
    let said = said(&stage.run(&["attach"], 2));
    assert_line(&said, "  deploy/image/build");
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
        let refused = format!(
            "kubetoll: --image {image:?} is no image: [REGISTRY/]NAME[:TAG][@DIGEST], the name in \
             lower case"
        );
        assert_line(&said, &refused);
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
        ("get", "pods/proxy", "get pods/proxy"),
        ("list", "kubevirts", "list kubevirts.kubevirt.io"),
        (
            "update",
            "deployments",
            "update deployments.apps virt-operator",
        ),
        ("create", "secrets", "create secrets, create configmaps"),
    ]
    .into_iter()
    .enumerate()
    {
        let user = installer(kubevirt, &format!("user-{at}"), Some((verb, resource))).await;
        let said = said(&attach(&user, "virt-api,virt-operator", &here, 1));
        let refused = format!(
            "kubetoll: you may not {missing}; what is missing, as rules of a Role in namespace \
             {NAMESPACE}:"
        );
        assert_line(&said, &refused);
    }
    assert!(!stage.has_objects().await);
}

async fn foreign_objects(stage: &Stage) {
    let name = "kubetoll-proxy-tls";
    let theirs = json!({"metadata": {"name": name}, "data": {}});
    create(&stage.kubevirt.client, NAMESPACE, "Secret", theirs).await;
    let said = said(&stage.attach("virt-api", &[], 1));
    put_back_after(
        &said,
        "Secret kubetoll-proxy-tls is there and not Kubetoll's: rename or remove it",
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
    let owned = "kubetoll: the HyperConverged operator owns this KubeVirt object and would revert the \
                 change. Apply the Secret and the ConfigMap of `kubetoll attach --dry-run --output \
                 yaml`, and put its patches as a JSON patch into the annotation \
                 kubevirt.kubevirt.io/jsonpatch of the HyperConverged object";
    assert_line(&refused, owned);
    let printed = stage.attach("virt-api", &["--dry-run", "--output", "yaml"], 0);
    assert_line(&said(&printed), owned);
    assert_line(&String::from_utf8_lossy(&printed.stdout), "kind: KubeVirt");
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
    assert_line(
        &refused,
        "kubetoll: the Operator Lifecycle Manager owns virt-operator's Deployment and would revert the \
         change. Attach the other components with --component, and lead virt-operator to a proxy by \
         env, volumes and volumeMounts in its Subscription's spec.config",
    );
    kubevirt
        .merge(
            "Deployment",
            "virt-operator",
            label("olm.owner", Value::Null),
        )
        .await;
    let refused = said(&stage.attach("virt-operator", &["--mode", "kubeconfig"], 1));
    assert_line(
        &refused,
        "kubetoll: virt-operator can't be attached: KubeVirt has no flags for it: use --mode sidecar",
    );
}

async fn the_nodes_network(stage: &Stage) {
    let network = |host: Value| json!({"spec": {"template": {"spec": {"hostNetwork": host}}}});
    let kubevirt = &stage.kubevirt;
    kubevirt
        .merge("Deployment", "virt-operator", network(json!(true)))
        .await;
    let said = said(&stage.attach("virt-operator", &[], 1));
    assert_line(
        &said,
        "kubetoll: virt-operator can't be attached: its pods use the network of their node, where \
         ports … and … would be the node's and open to everybody on it; put a proxy in front of it by \
         hand",
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
    let warning = "kubetoll: virt-api: a JSON patch of customizeComponents at \
                   /spec/template/spec/volumes/0 names an item of a list by its number, which may be \
                   another one's beside a proxy: use a strategic merge patch";
    assert_line(&warned, warning);
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
    for (component, from) in [("virt-api", "ReplicaFailure"), ("virt-handler", "event")] {
        *stage.kubevirt.faults.no_quota.lock().unwrap() = Some(component);
        let said = said(&stage.attach(component, &["--timeout", "5s"], 1));
        // It is said while a rollout is waited for, of which more differs from time to time.
        let reason = format!(
            "…; {from} FailedCreate: pods \"{component}-…\" is forbidden: failed quota: limits: must \
             specify limits.cpu for: kubetoll-proxy… ..."
        );
        assert_line(&said, &reason);
        assert_line(&said, "kubetoll: …; everything was put back as it was");
        *stage.kubevirt.faults.no_quota.lock().unwrap() = None;
        nothing_is_left(stage, before).await;
    }
}

/// The first component is attached already when the second one fails: both come back.
async fn rollout_that_never_ends(stage: &Stage, before: &[Value]) {
    *stage.kubevirt.faults.no_image.lock().unwrap() = Some("virt-controller");
    let said = said(&stage.attach("virt-controller,virt-api", &["--timeout", "5s"], 1));
    assert_line(&said, "virt-api: wait for its calls ...");
    // How many pods are new differs from time to time.
    let reason = "…; pod virt-controller-…, container kubetoll-proxy: ImagePullBackOff";
    assert_line(&said, &format!("virt-controller: {reason} ..."));
    let timed_out = "the rollout of virt-controller did not end within 5 s";
    put_back_after(&said, &format!("{timed_out}: {reason}"));
    *stage.kubevirt.faults.no_image.lock().unwrap() = None;
    nothing_is_left(stage, before).await;
}

async fn calls_that_never_come(stage: &Stage, before: &[Value]) {
    stage.kubevirt.faults.silent.store(true, Ordering::Relaxed);
    let said = said(&stage.attach("virt-handler", &["--timeout", "5s"], 1));
    put_back_after(
        &said,
        "no calls of virt-handler were seen within 5 s: pod virt-handler-… does not use its proxy",
    );
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
    assert_line(
        &said,
        "kubetoll: interrupted; everything was put back as it was",
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
        let reason = format!(
            "the rollout of {component} did not end within 5 s: …; pod {component}-…, container \
             kubetoll-proxy: ImagePullBackOff"
        );
        put_back_after(&said, &reason);
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
            assert_line(
                &said,
                "kubetoll: the HyperConverged operator owns this KubeVirt object and would revert the \
                 change. Take Kubetoll's patches out of the annotation kubevirt.kubevirt.io/jsonpatch \
                 of the HyperConverged object, and then run `kubetoll detach` again, which does the \
                 rest",
            );
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
    // What failed is in words of the libraries.
    assert_line(
        &said,
        "kubetoll: …; putting everything back failed: …. `kubetoll detach` does the rest",
    );
}
