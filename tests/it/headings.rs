//! What calls set off stands under a heading of its own: updates of a custom resource on a real
//! kube-apiserver alone, with an admission webhook that costs it milliseconds a call, and with ten watches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use driver::{WindowHook, pricing::ApiServerWatch};
use http::Request;
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use lab::{real::RealCluster, webhook::Webhook};
use record::{ApiServerUsage, Bill, ResultRow, WebhookKind};
use serde_json::{Value, from_value, json};
use tokio::time::{sleep, timeout};

use crate::support::{accounting::Accounting, quiet, real};

const UPDATES: u64 = 50;
const WATCHES: u64 = 10;
/// So large that a webhook's call takes the API server milliseconds: it is sent the old object and the new.
const OBJECT_BYTES: usize = 80_000;
const WAIT: Duration = Duration::from_secs(30);
const COLLECTION: &str = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances";

/// Updates of one object, and what their answers had of bytes.
struct Updates<'u> {
    client: &'u Client,
    object: Value,
}

impl<'u> Updates<'u> {
    async fn new(client: &'u Client) -> Self {
        let annotations = json!({"large": "x".repeat(OBJECT_BYTES)});
        let object = json!({
            "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
            "metadata": {"name": "large", "annotations": annotations}, "spec": {"domain": {}},
        });
        let object = send(client, "POST", COLLECTION, &object).await;
        Self { client, object }
    }

    async fn update(&mut self, value: u64) {
        self.object["metadata"]["labels"] = json!({"value": value.to_string()});
        let path = format!("{COLLECTION}/large");
        self.object = send(self.client, "PUT", &path, &self.object).await;
    }

    /// So many updates while an API server is watched, and as a row what they came to.
    async fn run(&mut self, cluster: &RealCluster, done: impl Fn() -> bool) -> Window {
        let meter = Box::new(Accounting(cluster));
        let watch = ApiServerWatch::new(self.client.clone(), Some(meter));
        watch.on_open().await;
        let mut bytes = 0;
        for value in 0..UPDATES {
            self.update(value).await;
            bytes += self.object.to_string().len() as u64;
        }
        let all_done = async {
            while !done() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(WAIT, all_done).await.expect("events are missing");
        watch.on_close().await;
        Window {
            usage: watch.found().unwrap(),
            bytes,
        }
    }
}

/// Sends an object; gives the one that comes back.
async fn send(client: &Client, method: &str, path: &str, object: &Value) -> Value {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(object.to_string().into_bytes()))
        .unwrap();
    let answer = client.send(request).await.unwrap();
    let code = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(code.is_success(), "{method} {path}: {code}");
    serde_json::from_slice(&body).unwrap()
}

/// What the API server did and took meanwhile.
struct Window {
    usage: ApiServerUsage,
    bytes: u64,
}

impl Window {
    fn bill(&self) -> Bill {
        let usage = &self.usage;
        let list = prices::standard().unwrap();
        let took = json!({"request_bytes": self.bytes, "response_bytes": self.bytes, "seconds_to_head": 0.0});
        let row = json!({
            "share": "workload", "component": "test", "verb": "update", "group": "kubevirt.io",
            "version": "v1", "resource": "virtualmachineinstances", "subresource": "", "path": "",
            "kubevirt_verb": "", "kubevirt_resource": "", "code": "200", "reason": "",
            "count": UPDATES, "per_object": 0.0, "wasted": false, "assumed": false, "took": took,
        });
        let mut rows: [ResultRow; 1] = [from_value(row).unwrap()];
        prices::charge(&mut rows, &[], list);
        prices::bill(&rows, usage.seconds, Some(usage), list)
    }

    fn events(&self) -> u64 {
        let of_vmis = self.usage.watch_events.iter();
        let of_vmis = of_vmis.filter(|sent| sent.resource == "virtualmachineinstances");
        of_vmis.map(|sent| sent.count).sum()
    }
}

/// Opens watches, whose events are counted.
async fn watch(client: &Client) -> Arc<AtomicU64> {
    let events = Arc::<AtomicU64>::default();
    for _ in 0..WATCHES {
        let request = Request::get(format!("{COLLECTION}?watch=1&resourceVersion=0"))
            .body(Body::empty())
            .unwrap();
        let mut body = client.send(request).await.unwrap().into_body();
        let events = Arc::clone(&events);
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().unwrap_or_default();
                let ends = data.iter().filter(|byte| **byte == b'\n').count();
                events.fetch_add(ends as u64, Ordering::Relaxed);
            }
        });
    }
    events
}

const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

async fn hook(client: &Client, webhook: &Webhook, cluster: &RealCluster) {
    let ca = k8s_openapi::ByteString(cluster.ca_pem().into_bytes());
    let rule = json!({"operations": ["UPDATE"], "apiGroups": ["kubevirt.io"],
        "apiVersions": ["v1"], "resources": ["virtualmachineinstances"]});
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "headings"},
        "webhooks": [{"name": "headings.kubetoll.dev", "rules": [rule], "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": webhook.url, "caBundle": ca}}],
    });
    send(client, "POST", HOOKS, &configuration).await;
}

fn never() -> bool {
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_and_ten_watches_are_each_under_their_own_heading() {
    let Some(assets) = real::assets() else {
        return;
    };
    let cluster = RealCluster::start(assets, &[]).await.unwrap();
    cluster.prepare_kubevirt(&[]).await.unwrap();
    let client = cluster.admin_client().unwrap();
    let mut updates = Updates::new(&client).await;
    updates.run(&cluster, never).await;
    let alone = updates.run(&cluster, never).await;

    let webhook = Webhook::start(cluster.authority()).await.unwrap();
    hook(&client, &webhook, &cluster).await;
    while webhook.calls.load(Ordering::Relaxed) == 0 {
        updates.update(UPDATES).await;
        updates.update(UPDATES + 1).await;
    }
    let hooked = updates.run(&cluster, never).await;
    send(&client, "DELETE", &format!("{HOOKS}/headings"), &json!({})).await;
    loop {
        let calls = webhook.calls.load(Ordering::Relaxed);
        updates.update(UPDATES).await;
        updates.update(UPDATES + 1).await;
        if webhook.calls.load(Ordering::Relaxed) == calls {
            break;
        }
    }

    let seen = watch(&client).await;
    while seen.load(Ordering::Relaxed) < WATCHES {
        sleep(Duration::from_millis(5)).await;
    }
    let before = seen.load(Ordering::Relaxed);
    let all_seen = || seen.load(Ordering::Relaxed) == before + UPDATES * WATCHES;
    let watched = updates.run(&cluster, all_seen).await;
    compare(&alone, &hooked, &watched);
}

/// What was added is under its heading, by the API server's own counters, and nowhere else.
fn compare(alone: &Window, hooked: &Window, watched: &Window) {
    let webhook_calls = |window: &Window| -> u64 {
        let calls = window.usage.webhook_calls.iter();
        assert!(
            calls
                .clone()
                .all(|call| call.kind == WebhookKind::Validating)
        );
        calls.map(|call| call.count).sum()
    };
    let windows = [alone, hooked, watched];
    assert_eq!(windows.map(webhook_calls), [0, UPDATES, 0]);
    let events = windows.map(Window::events);
    assert_eq!(events, [0, 0, UPDATES * WATCHES]);
    let bills = windows.map(Window::bill);
    let parts = bills.each_ref().map(|bill| bill.parts);
    let webhooks = parts.map(|parts| parts.webhooks.unwrap());
    assert_eq!((webhooks[0], webhooks[2]), (0.0, 0.0));
    // By the list: milliseconds for an object of that size.
    assert!(webhooks[1] / UPDATES as f64 > 2e-3, "{}", webhooks[1]);
    let by_events = parts.map(|parts| parts.watch_events.unwrap());
    assert!(
        by_events[2] > by_events[0] && by_events[2] > by_events[1],
        "{by_events:?}"
    );
    for bill in &bills {
        assert!((bill.parts.calls / bills[0].parts.calls - 1.0).abs() < 0.01);
    }
    // What it is: the price of a webhook is no fiction.
    let took = windows.map(|window| window.usage.cpu_seconds);
    println!(
        "{UPDATES} updates took {took:.2?} s; webhooks {webhooks:.2?} s, events {by_events:.2?} s"
    );
    if quiet::is_promised() {
        assert!(took[1] > 1.1 * took[0], "{took:?}");
    }
}
