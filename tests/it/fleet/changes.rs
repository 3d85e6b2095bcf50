//! What is counted over several pods, by each way to them, and what makes it worth nothing.

use std::collections::BTreeMap;

use record::{BooksKept, FailureReason, RunResult};
use serde_json::{Value, json};

use super::{NODES, Stage, name};
use crate::support::{
    kubevirt::{KubeVirt, NAMESPACE, create},
    lines::assert_line,
    wait,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_books_of_all_pods_are_summed_and_their_changes_are_noticed() {
    let Some(stage) = Stage::set(&["virt-controller", "virt-handler"]).await else {
        return;
    };
    stage.kubevirt.use_kubelet(NODES, &stage.kubelet).await;
    for way in ["port-forward", "api-server", "pod-network"] {
        sums_are_exact(&stage, way).await;
        a_wrong_token_is_told(&stage, way).await;
    }
    let said = stage.measure(&stage.admin, &["--proxy-via", "auto"], 0);
    assert_line(&said, "attached proxies, read by port-forward:");
    assert_line(
        &said,
        "without a proxy, so that their calls are not counted: virt-api, virt-operator",
    );
    refused_where_not_all_can_take_part(&stage).await;
    invalid_where_pods_come_and_go(&stage).await;
    invalid_where_a_proxy_is_restarted(&stage).await;
    a_port_that_is_closed_is_told(&stage).await;
    nothing_is_attached(&stage);
}

/// Calls of each component that are no part of anything else here.
fn lists(result: &RunResult) -> BTreeMap<&str, u64> {
    let mut lists = BTreeMap::new();
    for row in &result.rows {
        if row.call.verb == "list"
            && row.call.resource == "configmaps"
            && row.outcome.code() == Some(200)
        {
            *lists.entry(row.component.as_str()).or_default() += row.count;
        }
    }
    lists
}

async fn sums_are_exact(stage: &Stage, way: &str) {
    let handlers = stage.kubevirt.pods_of("virt-handler").await;
    let controllers = stage.kubevirt.pods_of("virt-controller").await;
    let measuring = stage.begin(&["--proxy-via", way]).await;
    for (pod, count) in handlers.iter().zip([3, 5, 7]) {
        stage.call(pod, count).await;
    }
    stage.call(&controllers[0], 11).await;
    let (said, result) = measuring.end(0);
    assert_line(&said, &format!("attached proxies, read by {way}:"));
    let result = result.unwrap();
    let expected = BTreeMap::from([("virt-controller", 11), ("virt-handler", 15)]);
    assert_eq!(lists(&result), expected);
    let names: Vec<&str> = result
        .proxies
        .iter()
        .filter_map(|proxy| Some(proxy.pod.as_ref()?.name.as_str()))
        .collect();
    let expected: Vec<&str> = handlers.iter().chain(&controllers).map(name).collect();
    assert_eq!(names, expected);
    for proxy in &result.proxies {
        let pod = proxy.pod.as_ref().unwrap();
        assert_eq!((pod.via.as_str(), pod.restarts), (way, 0));
        assert!(pod.node.starts_with("lab-node-") && pod.started.is_some());
        assert!(!proxy.instance.is_empty());
    }
}

async fn a_wrong_token_is_told(stage: &Stage, way: &str) {
    let handlers = stage.kubevirt.pods_of("virt-handler").await;
    let file = stage.dir.path().join("token");
    std::fs::write(&file, "another").unwrap();
    let file = file.to_str().unwrap();
    let said = stage.measure(
        &stage.admin,
        &["--proxy-via", way, "--proxy-token-file", file],
        1,
    );
    let refused = format!(
        "kubetoll: the proxy at {} does not take the admin token: name the file that has it with \
         --proxy-token-file",
        place(&handlers[0])
    );
    assert_line(&said, &refused);
    assert!(!said.contains("another"), "{said}");
}

/// How a pod's proxy is called in what is said of it.
fn place(pod: &Value) -> String {
    let port = &pod["spec"]["initContainers"][0]["ports"][1]["containerPort"];
    format!("pod {NAMESPACE}/{}:{port}", name(pod))
}

/// A pod as it is, under another name.
fn copy(pod: &Value, name: &str, with_proxy: bool) -> Value {
    let metadata = &pod["metadata"];
    let mut spec = pod["spec"].clone();
    if !with_proxy {
        spec["initContainers"] = json!([]);
    }
    json!({
        "metadata": {
            "name": name, "labels": metadata["labels"], "annotations": metadata["annotations"],
        },
        "spec": spec,
    })
}

async fn refused_where_not_all_can_take_part(stage: &Stage) {
    let kubevirt = &stage.kubevirt;
    let handlers = kubevirt.pods_of("virt-handler").await;
    let second = name(&handlers[1]);
    for ready in ["False", "True"] {
        let conditions = json!({"conditions": [{"type": "Ready", "status": ready}]});
        kubevirt.merge_status("Pod", second, conditions).await;
        if ready == "False" {
            let said = stage.measure(&stage.admin, &[], 1);
            assert_line(&said, &format!("{NOT_ALL} pod {second} is not ready"));
        }
    }
    for updated in [NODES - 1, NODES] {
        let status = json!({"updatedNumberScheduled": updated});
        kubevirt
            .merge_status("DaemonSet", "virt-handler", status)
            .await;
        if updated < NODES {
            let said = stage.measure(&stage.admin, &[], 1);
            let words = "virt-handler: 2 of 3 pods are new, 3 are available";
            assert_line(&said, &format!("{NOT_ALL} {words}"));
        }
    }
    let bare = copy(&handlers[1], "virt-handler-bare", false);
    create(&kubevirt.client, NAMESPACE, "Pod", bare).await;
    let said = stage.measure(&stage.admin, &[], 1);
    assert_line(
        &said,
        &format!("{NOT_ALL} pod virt-handler-bare has no proxy: the rollout is not complete"),
    );
    kubevirt.delete_at_once("Pod", "virt-handler-bare").await;
    stage.measure(&stage.admin, &[], 0);
}

/// Before the reason, where pods can't take part.
const NOT_ALL: &str = "kubetoll: not all attached pods can take part:";

/// What the result says that is not as it was.
fn objection(result: Option<RunResult>) -> String {
    let result = result.unwrap();
    assert!(!result.valid && result.exit_code == 4);
    let failed: Vec<_> = result
        .checks
        .into_iter()
        .filter(|check| !check.ok)
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].name, "the same pods took part all the time");
    failed[0].detail.clone()
}

async fn invalid_where_pods_come_and_go(stage: &Stage) {
    let kubevirt: &KubeVirt = &stage.kubevirt;
    let handlers = kubevirt.pods_of("virt-handler").await;
    for (added, with_proxy, more) in [
        ("virt-handler-new", true, ""),
        ("virt-handler-bare", false, ", without a proxy"),
    ] {
        let measuring = stage.begin(&[]).await;
        let pod = copy(&handlers[2], added, with_proxy);
        create(&kubevirt.client, NAMESPACE, "Pod", pod).await;
        let found = objection(measuring.end(4).1);
        let expected = format!("pod {added} on node lab-node-3 appeared{more}");
        assert_eq!(found, expected);
        kubevirt.delete_at_once("Pod", added).await;
    }
    // The kubelet says that a container is another one now.
    let measuring = stage.begin(&[]).await;
    let controllers = kubevirt.pods_of("virt-controller").await;
    let mut status = controllers[0]["status"]["containerStatuses"].clone();
    status[0]["restartCount"] = json!(1);
    let status = json!({"containerStatuses": status});
    kubevirt
        .merge_status("Pod", name(&controllers[0]), status)
        .await;
    let found = objection(measuring.end(4).1);
    let pod = name(&controllers[0]);
    let expected =
        format!("container virt-controller of pod {pod} on node lab-node-1 was restarted");
    assert_eq!(found, expected);
    // A pod goes while its proxy's connection is still there.
    let measuring = stage.begin(&["--proxy-via", "pod-network"]).await;
    kubevirt.delete_at_once("Pod", name(&handlers[2])).await;
    let found = objection(measuring.end(4).1);
    let expected = format!("pod {} on node lab-node-3 vanished", name(&handlers[2]));
    assert_eq!(found, expected);
}

/// Two virt-handlers are left here.
async fn invalid_where_a_proxy_is_restarted(stage: &Stage) {
    let kubevirt = &stage.kubevirt;
    let handlers = kubevirt.pods_of("virt-handler").await;
    let first = name(&handlers[0]);
    let measuring = stage.begin(&["--proxy-via", "api-server"]).await;
    let controllers = kubevirt.pods_of("virt-controller").await;
    stage.call(&handlers[0], 3).await;
    stage.call(&controllers[0], 2).await;
    wait_for_a_look_at(stage, first).await;
    kubevirt.restart_proxy(first);
    wait_for_admin(&handlers[0]).await;
    let (said, result) = measuring.end(4);
    // What the proxy had counted at the last look is kept, and what the others gave.
    let result = result.unwrap();
    let failure = result.failure.as_ref().unwrap();
    assert_eq!(
        (failure.reason, failure.books),
        (FailureReason::ProxyLost, BooksKept::LastKnown)
    );
    let expected = BTreeMap::from([("virt-controller", 2), ("virt-handler", 3)]);
    assert_eq!(lists(&result), expected);
    assert!(!result.valid);
    assert_line(&said, &format!("kept as {} in the history …", result.id));
    let lost = format!(
        "kubetoll: the proxy at {} lost the run, so that its counts are not valid: no run measure-… is \
         open on these books",
        place(&handlers[0])
    );
    assert_line(&said, &lost);
    // The same where the kubelet has noticed it.
    let measuring = stage.begin(&["--proxy-via", "pod-network"]).await;
    kubevirt.restart_proxy(first);
    wait_for_admin(&handlers[0]).await;
    let mut status = handlers[0]["status"]["initContainerStatuses"].clone();
    status[0]["restartCount"] = json!(1);
    let status = json!({"initContainerStatuses": status});
    kubevirt.merge_status("Pod", first, status).await;
    let (said, result) = measuring.end(4);
    let failure = result.unwrap().failure.unwrap();
    assert_eq!(failure.reason, FailureReason::PodsChanged);
    let expected = format!(
        "kubetoll: not the same proxies took part all the time, so that the counts are not valid: \
         container kubetoll-proxy of pod {first} on node \
         lab-node-1 was restarted"
    );
    assert_line(&said, &expected);
}

/// Waits until the books of a pod's proxy were looked at, through the API server: one look that may
/// have begun earlier, and another, before which the first has come back.
async fn wait_for_a_look_at(stage: &Stage, pod: &str) {
    let log = stage.kubevirt.cluster.audit_log();
    let path = format!("/pods/http:{pod}:");
    let looks = || {
        let log = std::fs::read_to_string(&log).unwrap();
        let ended = ["\"stage\":\"ResponseComplete\"", "\"verb\":\"get\""];
        let is_look = |line: &&str| {
            line.contains(&path)
                && line.contains("/proxy/runs/measure-")
                && ended.iter().all(|field| line.contains(field))
        };
        log.lines().filter(is_look).count()
    };
    let before = looks();
    wait::until("two looks", async || looks() >= before + 2).await;
}

/// Waits until a pod's new proxy listens.
async fn wait_for_admin(pod: &Value) {
    let port = &pod["spec"]["initContainers"][0]["ports"][1]["containerPort"];
    let address = format!("127.0.0.1:{port}");
    wait::until("the new proxy", async || {
        tokio::net::TcpStream::connect(&address).await.is_ok()
    })
    .await;
}

/// Each way says what failed and what to look at; auto says all of it.
async fn a_port_that_is_closed_is_told(stage: &Stage) {
    let kubevirt = &stage.kubevirt;
    let handlers = kubevirt.pods_of("virt-handler").await;
    kubevirt.stop_proxy(name(&handlers[0]));
    let place = place(&handlers[0]);
    // What comes before the advice is partly the API server's.
    let port_forward = format!(
        "  port-forward: no answer from the proxy at {place}: …connection refused; does the API server \
         reach the kubelet of that node?"
    );
    let api_server = format!(
        "  api-server: the proxy at {place} answers 503 Service Unavailable: …connection refused…; does \
         the API server reach pods, and does a NetworkPolicy let it?"
    );
    let pod_network = format!(
        "  pod-network: no answer from the proxy at {place}: client error (Connect): tcp connect \
         error: Connection refused (os error 111); is this machine in the pod network, and does a \
         NetworkPolicy let it in?"
    );
    for (way, reasons) in [
        ("pod-network", &[&pod_network][..]),
        ("port-forward", &[&port_forward]),
        ("api-server", &[&api_server]),
        ("auto", &[&port_forward, &api_server]),
    ] {
        let said = stage.measure(&stage.admin, &["--proxy-via", way], 1);
        assert_line(&said, "kubetoll: the attached proxies can't be read:");
        for reason in reasons {
            assert_line(&said, reason);
        }
    }
}

fn nothing_is_attached(stage: &Stage) {
    let said = stage.measure(&stage.admin, &["--kubevirt-namespace", "default"], 1);
    assert_line(
        &said,
        "kubetoll: there is no KubeVirt object in namespace default: KubeVirt is not installed there",
    );
}
