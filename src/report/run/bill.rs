//! The bill of a run as text.

use super::table::milliseconds;
use crate::{
    prices::{self, without_price},
    why::calls,
};
use record::{Bill, RunResult};

/// What the calls cost the API server, by the list that was given, and what it took in all.
pub(super) fn put(text: &mut String, result: &RunResult) {
    let Some(bill) = &result.bill else {
        return;
    };
    by_list(text, bill, result);
    if bill.unpriced_calls > 0 {
        put_line!(text, "  {}", without_price(bill.unpriced_calls));
    }
    if let Some(measured) = bill.measured_cpu_seconds {
        explained(text, bill, measured);
    }
    if let Some(others) = bill.unpriced_others.filter(|others| *others > 0) {
        put_line!(text, "  without a price there: {} of others", calls(others));
    }
}

fn by_list(text: &mut String, bill: &Bill, result: &RunResult) {
    let list = &bill.prices;
    put!(
        text,
        "{}",
        prices::by_list(list, bill.parts.calls, bill.tolls)
    );
    if result.count > 0 {
        let each = bill.parts.calls * 1e6 / result.count as f64;
        put!(text, ", {} for each object", milliseconds(each));
    }
    if result.simulated {
        text.push_str("; KubeVirt is SIMULATED");
    }
    text.push('\n');
    if let Some(slowness) = bill.slowness {
        put_line!(
            text,
            "  a toll took {slowness:.2} times as much here as there: so do all prices"
        );
    }
    let version = &result.cluster.kubernetes_version;
    if !version.is_empty() && minor(version) != minor(&list.kubernetes_version) {
        put_line!(
            text,
            "  the list is not this cluster's own, which is of Kubernetes {version}"
        );
    }
}

/// `v1.34` of `v1.34.4`.
fn minor(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(minor, _)| minor)
}

/// `API server 10.10 s: explained 9.30 s (92 %): calls 3.40, ...`.
fn explained(text: &mut String, bill: &Bill, measured: f64) {
    let parts = &bill.parts;
    let explained = bill.explained_cpu_seconds;
    put!(
        text,
        "API server {measured:.2} s: explained {explained:.2} s ({:.0} %): calls {:.2}",
        1e2 * explained / measured,
        parts.calls
    );
    let known = [
        ("webhooks", parts.webhooks),
        ("watch events", parts.watch_events),
        ("others' calls", parts.others),
        ("baseline", Some(parts.baseline)),
    ];
    for (name, seconds) in known {
        match seconds {
            Some(seconds) => put!(text, ", {name} {seconds:.2}"),
            None => put!(text, ", {name} without a price"),
        }
    }
    text.push('\n');
}
