//! What rows cost by a small list.

use serde_json::{Value, from_value, json};

use crate::charge;
use record::{CallFinding, PriceList, ResultRow};

/// Updates of VMIs: 3,000 us with 8 KiB and 100 us more for each KiB; 2,500 if nothing changes; 1,600
/// if refused. Gets of Leases: 500.
pub(super) fn list() -> PriceList {
    let estimate = |us: f64| json!({"value": us, "low": us, "high": us});
    let update = |outcome: &str, us: f64| {
        json!({"verb": "update", "group": "kubevirt.io", "resource": "virtualmachineinstances",
            "outcome": outcome, "bytes": 8192.0, "cpu_us": estimate(us),
            "cpu_us_per_kib": estimate(100.0), "calls": 100})
    };
    from_value(json!({
        "schema": "kubetoll.prices/1", "kubetoll_version": "0", "kubernetes_version": "v1.34.4",
        "started": "2024-01-01T00:00:00Z", "seconds": 1.0, "rounds": 3,
        "machine": {"cpu": "", "cpus": 2}, "toll_us": 500.0, "idle_us_per_second": 0.0,
        "prices": [
            update("success", 3_000.0), update("no_op", 2_500.0), update("conflict", 1_600.0),
            {"verb": "get", "group": "coordination.k8s.io", "resource": "leases",
                "outcome": "success", "bytes": 700.0, "cpu_us": estimate(500.0), "calls": 100},
        ],
    }))
    .unwrap()
}

pub(super) fn row(
    (verb, group, resource): (&str, &str, &str),
    code: &str,
    count: u64,
    took: Value,
) -> ResultRow {
    from_value(json!({
        "share": "workload", "component": "virt-controller", "verb": verb, "group": group,
        "version": "v1", "resource": resource, "subresource": "", "path": "",
        "kubevirt_verb": "", "kubevirt_resource": "", "code": code, "reason": "",
        "count": count, "per_object": 0.0, "wasted": false, "assumed": false, "took": took,
    }))
    .unwrap()
}

pub(super) const UPDATE: (&str, &str, &str) = ("update", "kubevirt.io", "virtualmachineinstances");

pub(super) fn took(bytes: u64) -> Value {
    json!({"request_bytes": bytes / 2, "response_bytes": bytes / 2, "seconds_to_head": 0.0})
}

fn no_ops(calls: u64) -> CallFinding {
    from_value(json!({
        "kind": "no-op-write", "id": "", "component": "virt-controller",
        "call": "UPDATE-virtualmachineinstances", "code": "", "calls": calls, "saved": calls,
        "per_object": null, "reason": "", "detail": "",
        "example": {"at": "2024-01-01T00:00:00Z", "namespace": "", "name": "", "audit_id": ""},
    }))
    .unwrap()
}

fn charged(row: ResultRow, findings: &[CallFinding]) -> (Option<f64>, Option<f64>) {
    let mut rows = [row];
    charge(&mut rows, findings, &list());
    (rows[0].cost_cpu_us, rows[0].cost_tolls)
}

#[test]
fn a_row_costs_its_count_times_the_price_at_its_size() {
    let at = |bytes: u64| charged(row(UPDATE, "200", 10, took(bytes * 10)), &[]);
    assert_eq!(at(8192), (Some(30_000.0), Some(60.0)));
    assert_eq!(at(8192 + 10_240), (Some(40_000.0), Some(80.0)));
    // Where calls of one row of the books stand in two tables, nobody knows their sizes.
    let unknown = row(UPDATE, "200", 10, Value::Null);
    assert_eq!(charged(unknown, &[]).0, Some(30_000.0));
}

#[test]
fn writes_that_changed_nothing_and_refused_ones_have_prices_of_their_own() {
    let same = row(UPDATE, "200", 10, took(81_920));
    assert_eq!(charged(same.clone(), &[no_ops(4)]).0, Some(28_000.0));
    assert_eq!(charged(same.clone(), &[no_ops(10)]).0, Some(25_000.0));
    let of_another = CallFinding {
        component: "virt-handler".to_owned(),
        ..no_ops(4)
    };
    assert_eq!(charged(same, &[of_another]).0, Some(30_000.0));
    let refused = row(UPDATE, "409", 10, took(81_920));
    assert_eq!(charged(refused, &[no_ops(4)]).0, Some(16_000.0));
}

#[test]
fn what_has_no_price_costs_nothing_that_is_known() {
    let lease = ("get", "coordination.k8s.io", "leases");
    assert_eq!(charged(row(lease, "200", 2, Value::Null), &[]).1, Some(2.0));
    for code in ["404", "403", "500"] {
        assert_eq!(charged(row(lease, code, 2, Value::Null), &[]), (None, None));
    }
    let other = ("get", "", "leases");
    assert_eq!(
        charged(row(other, "200", 2, Value::Null), &[]),
        (None, None)
    );
}
