//! What calls cost: a price list of a real kube-apiserver, and a run's bill by it.

use std::{collections::BTreeSet, fs, path::Path};

use record::{PriceList, PricedOutcome, RunResult, WebhookKind};

use crate::{
    cli::{kubetoll, run, said},
    support::real,
};

/// The calls of a list, as `VERB RESOURCE/SUBRESOURCE OUTCOME`.
fn names(list: &PriceList) -> BTreeSet<String> {
    let name = |call: &record::PricedCall| match &*call.subresource {
        "" => format!("{} {}", call.verb, call.resource),
        subresource => format!("{} {}/{subresource}", call.verb, call.resource),
    };
    let prices = list.prices.iter();
    prices
        .map(|price| format!("{} {}", name(&price.call), price.outcome.as_str()))
        .collect()
}

const LEASES: [&str; 15] = [
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
    "update pods success",
];

/// A list of few kinds, measured in the least time that there is.
fn price(out: &Path) -> (PriceList, String) {
    let out = out.to_str().unwrap();
    let only = ["--only", "leases,pods", "--objects", "2", "--for", "1s"];
    let price = ["price", "--lab", "real", "--out", out];
    let done = run(kubetoll().args(price).args(only), b"");
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let list: PriceList = serde_json::from_slice(&fs::read(out).unwrap()).unwrap();
    (list, String::from_utf8(done.stdout).unwrap())
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
    assert_eq!(list.watch_events.len(), 1);
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
    // The API server in the process has no price.
    let done = run(kubetoll().args(["price", "--lab", "embedded"]), b"");
    assert_eq!(done.status.code(), Some(2), "{}", said(&done));
}
