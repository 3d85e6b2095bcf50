//! What calls cost: a price list of a real kube-apiserver, and a run's bill by it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use cluster::kubeconfig::Credential;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::{Api, ResourceExt, api::ListParams};
use lab::real::RealCluster;
use record::{AuditReport, PriceList, PricedCall, PricedOutcome, RunResult, WebhookKind};
use serde_json::json;

use crate::{
    cli::{kubetoll, run, said},
    support::{lines::assert_line, real},
};

/// The calls of a list, as `VERB RESOURCE/SUBRESOURCE OUTCOME`.
fn names(list: &PriceList) -> BTreeSet<String> {
    let name = |call: &PricedCall| match &*call.subresource {
        "" => format!("{} {}", call.verb, call.resource),
        subresource => format!("{} {}/{subresource}", call.verb, call.resource),
    };
    let prices = list.prices.iter();
    prices
        .map(|price| format!("{} {}", name(&price.call), price.outcome.as_str()))
        .collect()
}

const LEASES: [&str; 16] = [
    "create leases 409",
    "create leases success",
    "delete leases 404",
    "delete leases success",
    "get leases 404",
    "get leases success",
    "list leases success",
    "patch leases 404",
    "patch leases 422",
    "patch leases no change",
    "patch leases success",
    "update leases 409",
    "update leases no change",
    "update leases success",
    "watch leases success",
    "update pods success",
];

/// A list of few kinds, measured in the least time that there is, and what is printed of it and of
/// what it lacks.
fn price(out: &Path) -> (PriceList, String) {
    let out = out.to_str().unwrap();
    let only = ["--only", "leases,pods", "--objects", "2", "--for", "1s"];
    let price = ["price", "--lab", "real", "--out", out];
    let done = run(kubetoll().args(price).args(only), b"");
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let list: PriceList = serde_json::from_slice(&fs::read(out).unwrap()).unwrap();
    let left_out = said(&done);
    (list, String::from_utf8(done.stdout).unwrap() + &left_out)
}

#[test]
fn a_real_api_server_has_prices_and_a_run_a_bill() {
    if real::assets().is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("prices.json");
    let (list, text) = price(&file);
    let found = names(&list);
    for name in LEASES {
        assert!(found.contains(name), "{name} is not among {found:?}");
    }
    let get = list.prices.iter().find(|price| {
        price.call.verb == "get" && price.call.resource == "leases" && price.bytes > 0.0
    });
    assert!(get.is_some_and(|get| get.calls >= 6), "{get:?}");
    assert!(list.toll_us > 0.0 && list.rounds >= 3);
    let toll = "1 toll, a get of one Lease: ";
    assert!(text.lines().any(|line| line.starts_with(toll)), "{text}");
    let webhooks: Vec<WebhookKind> = list.webhooks.iter().map(|one| one.kind).collect();
    assert_eq!(webhooks, [WebhookKind::Mutating, WebhookKind::Validating]);
    // Events that are late on a busy machine leave their rounds out, which is said.
    let is_left_out = text.contains("were set off in place of");
    assert!(list.watch_events.len() == 1 || is_left_out, "{text}");
    bill(&file, &list);
}

/// The bill of a run is the sum of its rows, and names what has no price.
fn bill(file: &Path, list: &PriceList) {
    let vmi = [
        "run", "vmi", "--count", "3", "--lab", "real", "--output", "json", "--prices",
    ];
    let done = run(kubetoll().args(vmi).arg(file), b"");
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let result: RunResult = serde_json::from_slice(&done.stdout).unwrap();
    let bill = result.bill.unwrap();
    let costs = result.rows.iter().filter_map(|row| row.cost_cpu_us);
    let sum: f64 = costs.sum();
    assert!((bill.parts.calls - sum / 1e6).abs() < 1e-9);
    assert!(sum > 0.0);
    assert!(bill.measured_cpu_seconds > Some(0.0));
    // Of VMIs nothing has a price here, and no webhook is called.
    assert_eq!(
        (bill.parts.watch_events, bill.parts.webhooks),
        (None, Some(0.0))
    );
    assert!(bill.parts.others.is_some());
    assert_eq!(bill.prices.toll_us, list.toll_us);
    let unpriced = result.rows.iter().filter(|row| row.cost_cpu_us.is_none());
    assert!(
        unpriced
            .clone()
            .all(|row| row.call.resource != "pods" || row.call.verb == "watch")
    );
    assert_eq!(
        bill.unpriced_calls,
        unpriced.map(|row| row.count).sum::<u64>()
    );
    assert!(bill.unpriced_calls > 0, "VMIs are not in the list");
    let create = list.prices.iter().find(|price| {
        price.call.verb == "create"
            && price.call.resource == "pods"
            && price.call.subresource.is_empty()
            && price.outcome == PricedOutcome::Success
    });
    let row = result.rows.iter().find(|row| {
        (&*row.call.verb, &*row.call.resource, &*row.call.subresource) == ("create", "pods", "")
    });
    let (create, row) = (create.unwrap(), row.unwrap());
    let took = row.took.unwrap();
    let bytes = (took.request_bytes + took.response_bytes) as f64 / row.count as f64;
    let expected = create.cost_us(Some(bytes)) * row.count as f64;
    assert!((row.cost_cpu_us.unwrap() - expected).abs() < 1e-6);
}

/// A kubeconfig for the API server of a lab that somebody else has started.
fn kubeconfig_of(cluster: &RealCluster) -> PathBuf {
    let credential = Credential::Token(cluster.admin_token().to_owned());
    let (url, ca) = (cluster.url(), cluster.ca_pem());
    let written = cluster.write_kubeconfig_for("price.yaml", &url, &ca, &credential);
    written.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_in_use_is_measured_by_its_metrics_and_left_as_it_was() {
    let Some(assets) = real::assets() else {
        return;
    };
    let cluster = RealCluster::start(assets, &[]).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("prices.json");
    let mut command = kubetoll();
    command.args(["price", "--only", "nodes,virtualmachines"]);
    command.args(["--objects", "2", "--for", "1s", "--kubeconfig"]);
    command.arg(kubeconfig_of(&cluster)).arg("--out").arg(&file);
    let done = tokio::task::spawn_blocking(move || run(&mut command, b""));
    let done = done.await.unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    // KubeVirt is not there.
    let missing = "not in the list: CREATE-virtualmachines (success): answered 404 in place of 201";
    assert!(
        said(&done).lines().any(|line| line == missing),
        "{}",
        said(&done)
    );
    let list: PriceList = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let found = names(&list);
    assert!(found.contains("update nodes no change"), "{found:?}");
    assert!(found.contains("create nodes success"), "{found:?}");
    assert!(list.webhooks.is_empty() && list.machine.cpus == 0);
    assert!(list.prices.iter().all(|price| price.etcd_cpu_us.is_none()));
    assert!(
        list.prices
            .iter()
            .any(|price| price.allocated_bytes > Some(0.0))
    );
    let client = cluster.admin_client().unwrap();
    let nodes: Api<Node> = Api::all(client.clone());
    assert_eq!(nodes.list(&ListParams::default()).await.unwrap().items, []);
    let namespaces: Api<Namespace> = Api::all(client);
    for namespace in namespaces.list(&ListParams::default()).await.unwrap() {
        // Without a controller it stays, being deleted.
        let is_ours = namespace.name_any().starts_with("kubetoll-price-");
        assert_eq!(is_ours, namespace.metadata.deletion_timestamp.is_some());
    }
}

#[test]
fn the_list_that_kubetoll_comes_with_prices_an_audit_log() {
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("audit.log");
    let line = |verb: &str, resource: &str, code: u16| {
        json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata",
            "auditID": format!("{verb}-{resource}-{code}"), "stage": "ResponseComplete",
            "requestURI": format!("/api/v1/namespaces/n/{resource}"), "verb": verb,
            "user": {"username": "someone"},
            "objectRef": {"resource": resource, "namespace": "n", "apiVersion": "v1"},
            "responseStatus": {"code": code},
            "requestReceivedTimestamp": "2026-11-24T01:00:00.000000Z",
            "stageTimestamp": "2026-11-24T01:00:00.100000Z"})
    };
    let lines = [
        line("create", "pods", 201),
        line("create", "pods", 409),
        line("create", "secrets", 201),
    ];
    fs::write(&log, lines.map(|line| format!("{line}\n")).concat()).unwrap();
    let audit = |more: &[&str]| {
        let mut command = kubetoll();
        command.arg("audit").arg(&log);
        let done = run(command.args(more), b"");
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        done.stdout
    };
    let report: AuditReport = serde_json::from_slice(&audit(&["--output", "json"])).unwrap();
    let list = prices::standard().unwrap();
    let pods = PricedCall {
        verb: "create".to_owned(),
        resource: "pods".to_owned(),
        ..PricedCall::default()
    };
    let cost = |outcome| list.price(&pods, outcome).unwrap().cpu_us.value;
    let (success, conflict) = (cost(PricedOutcome::Success), cost(PricedOutcome::Conflict));
    let bill = report.bill.unwrap();
    assert!((bill.cpu_seconds * 1e6 - success - conflict).abs() < 1e-6);
    assert_eq!(bill.unpriced_calls, 1);
    let priced = report
        .counts
        .iter()
        .map(|count| (&*count.resource, count.code));
    let costs = report.counts.iter().map(|count| count.cost_cpu_us);
    let wanted = [
        (("pods", 201), Some(success)),
        (("pods", 409), Some(conflict)),
        (("secrets", 201), None),
    ];
    assert_eq!(priced.zip(costs).collect::<Vec<_>>(), wanted);
    let text = String::from_utf8(audit(&[])).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let by = format!(
        "  by the prices of Kubernetes {} on {}; 1 call more has no price there",
        list.kubernetes_version, list.machine.cpu
    );
    assert_line(&text, &by);
    let sum = "What the calls cost: … ms of the API server's CPU, … tolls";
    assert_line(&text, sum);
    let callers = lines
        .iter()
        .position(|line| line.starts_with("COMPONENT  COUNT"));
    let caller: Vec<&str> = lines[callers.unwrap() + 1].split_whitespace().collect();
    assert_eq!(
        (caller[0], caller[1], &caller[3..]),
        ("someone", "3", &["100.0", "%"][..])
    );
    // The dearest first, and what has no price last.
    let at = |words: &str| lines.iter().position(|line| line.contains(words)).unwrap();
    assert!(
        at(" 201 ") < at(" 409 ") && at(" 409 ") < at("secrets"),
        "{text}"
    );
}

/// What is said of a small run in the embedded lab, and what `--output json` says.
fn simulated(home: &Path, more: &[&str]) -> (String, RunResult) {
    let results = home.join("results");
    let results = results.to_str().unwrap();
    let vmi = "run vmi --count 3 --pause 0ms --baseline 0s --settle 300ms --no-primer --no-store";
    let mut command = kubetoll();
    command
        .args(vmi.split(' '))
        .args(["--results-dir", results]);
    let done = run(command.args(more), b"");
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let record = home.join("results/record.json");
    let mut command = kubetoll();
    command
        .arg("report")
        .arg(record)
        .args(["--form", "json", "--out", "-"]);
    let json = run(command.args(more), b"");
    assert_eq!(json.status.code(), Some(0), "{}", said(&json));
    let result = serde_json::from_slice(&json.stdout).unwrap();
    (String::from_utf8(done.stdout).unwrap(), result)
}

#[test]
fn a_run_has_a_bill_unless_none_is_wanted() {
    let home = tempfile::tempdir().unwrap();
    let list = prices::standard().unwrap();
    let (text, result) = simulated(home.path(), &[]);
    for wanted in [
        "What the calls cost: … of the API server's CPU, … tolls; for an object … ms, … tolls",
        &format!(
            "  by the prices of Kubernetes {} on {}; KubeVirt is SIMULATED",
            list.kubernetes_version, list.machine.cpu
        ),
        "3 VMIs: … calls, … each, … % wasted; … tolls each, … % wasted",
    ] {
        assert_line(&text, wanted);
    }
    let bill = result.bill.unwrap();
    assert_eq!(bill.prices.toll_us, list.toll_us);
    // The API server in the process has no CPU of its own.
    assert_eq!(bill.measured_cpu_seconds, None);
    let tolls = result.rows.iter().filter_map(|row| row.cost_tolls);
    let tolls: f64 = tolls.sum();
    assert!(tolls > 0.0 && (tolls * list.toll_us / 1e6 - bill.parts.calls).abs() < 1e-9);
    assert!(result.deletion.iter().any(|row| row.cost_tolls > Some(0.0)));
    let callers = "  virt-controller … %, virt-handler … %, … %";
    assert_line(&text, callers);
    let failed = result.rows.iter().filter(|row| row.wasted);
    let failed = failed.map(|row| row.count).sum::<u64>();
    let saved = result.findings.unwrap();
    assert!(
        saved
            .iter()
            .all(|one| (one.saved > 0) == one.saved_tolls.is_some()),
        "{saved:?}"
    );
    assert!(failed == 0 || saved.iter().any(|one| one.saved_cpu_us > Some(0.0)));

    let (text, result) = simulated(home.path(), &["--prices", "none"]);
    assert!(result.bill.is_none());
    let rows = result.rows.iter().chain(&result.deletion);
    assert!(rows.clone().count() > 0 && rows.clone().all(|row| row.cost_cpu_us.is_none()));
    for word in ["toll", "TOLL", "SHARE", " cost"] {
        let text = text.replace("kubetoll", "");
        assert!(!text.contains(word), "{word} is in {text}");
    }
    assert_line(&text, "3 VMIs: … calls, … each, … % wasted");
}

#[test]
fn what_is_no_price_list_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("prices.json");
    fs::write(&file, "{}").unwrap();
    let done = run(kubetoll().args(["run", "vmi", "--prices"]).arg(&file), b"");
    assert_eq!(done.status.code(), Some(1));
    let name = file.display();
    let line = format!("kubetoll: {name} is no price list of kubetoll price: missing field ");
    assert!(said(&done).starts_with(&line), "{}", said(&done));
    // Before a lab is started for it.
    let of = ["price", "--lab", "real", "--of"];
    let done = run(kubetoll().args(of).arg(&file), b"");
    assert_eq!(done.status.code(), Some(1));
    let line = format!("kubetoll: {name} is no record of a run: ");
    assert!(said(&done).starts_with(&line), "{}", said(&done));
    let done = run(kubetoll().args(["price", "--out", "prices.json"]), b"");
    assert_eq!(done.status.code(), Some(2));
    let line = "kubetoll: what is to be measured? --lab real, or a cluster: ";
    assert!(said(&done).starts_with(line), "{}", said(&done));
    // The API server in the process has no price.
    let done = run(kubetoll().args(["price", "--lab", "embedded"]), b"");
    assert_eq!(done.status.code(), Some(2), "{}", said(&done));
}
