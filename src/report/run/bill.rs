//! The bill of a run as text.

use super::{bar, table::sum_of_tolls};
use crate::{
    bill_parts::{by_component, by_purpose, purposes},
    number::{cpu, share, tolls},
    prices::{by_list, cost},
};
use record::{Bill, CallFinding, ResultRow, RunResult, Share, number_of};

/// What the calls cost the API server by the list, and what it took in all; drawn on a terminal.
pub(super) fn put(text: &mut String, result: &RunResult, with_bar: bool) {
    let Some(bill) = &result.bill else {
        return;
    };
    if result.total.calls == 0 {
        return; // nothing was called, so that there is nothing to price
    }
    if bill.parts.calls > 0.0 {
        sum(text, bill, result);
    } else {
        let by = by_list(&bill.prices, 0);
        put_line!(
            text,
            "What the calls cost is not known: none has a price {by}"
        );
    }
    let version = &result.cluster.kubernetes_version;
    if !version.is_empty() && minor(version) != minor(&bill.prices.kubernetes_version) {
        put_line!(
            text,
            "  the list is not this cluster's own, which is of Kubernetes {version}"
        );
    }
    let callers = by_component(&result.rows);
    let purposes = by_purpose(bill);
    match callers.len() {
        0 | 1 => {}
        _ if with_bar && purposes.is_none() => bar::drawn(text, &callers),
        _ => bar::words(text, &callers),
    }
    if let Some(measured) = bill.measured_cpu_seconds {
        explained(text, bill, measured);
    }
    if let Some(purposes) = purposes.filter(|_| with_bar) {
        bar::drawn(text, &purposes);
    }
    if let Some(others) = bill.unpriced_others.filter(|others| *others > 0) {
        put_line!(
            text,
            "  without a price there: {} of others",
            number_of(others, "call")
        );
    }
}

/// The sum, what the calls for an object cost, and by which list.
fn sum(text: &mut String, bill: &Bill, result: &RunResult) {
    let all = cost(1e6 * bill.parts.calls, &bill.prices);
    put!(text, "What the calls cost: {all}");
    let by = by_list(&bill.prices, bill.unpriced_calls);
    if result.count == 0 {
        put_line!(text, ", {by}");
        return;
    }
    let each = tolls_per_object(result);
    let each_cpu = cpu(each * bill.prices.toll_us);
    put_line!(text, "; for an object {each_cpu}, {} tolls", tolls(each));
    let simulated = if result.simulated {
        "; KubeVirt is SIMULATED"
    } else {
        ""
    };
    put_line!(text, "  {by}{simulated}");
}

/// Rows of calls for the run's objects.
fn own(result: &RunResult) -> impl Iterator<Item = &ResultRow> + Clone {
    let rows = result.rows.iter();
    rows.filter(|row| row.share == Share::Workload)
}

/// What the calls for an object cost, in tolls.
pub(crate) fn tolls_per_object(result: &RunResult) -> f64 {
    sum_of_tolls(own(result)) / result.count.max(1) as f64
}

/// `; 32.7 tolls each, 0.1 % wasted`: the bill in the run's headline, if its calls have prices.
pub(super) fn headline(result: &RunResult) -> String {
    let all = sum_of_tolls(own(result));
    if all == 0.0 {
        return String::new();
    }
    let wasted = sum_of_tolls(own(result).filter(|row| row.wasted));
    format!(
        "; {} tolls each, {:.1} % wasted",
        tolls(tolls_per_object(result)),
        1e2 * wasted / all
    )
}

/// `12.3 tolls (0.2 %)`: what the calls cost that could go, if some have a price.
pub(crate) fn saved(result: &RunResult) -> Option<String> {
    let findings = result.findings.as_deref().unwrap_or_default();
    let saved = CallFinding::saved_tolls(findings)?;
    let all = sum_of_tolls(result.rows.iter());
    Some(format!("{} tolls ({})", tolls(saved), share(saved, all)))
}

/// `v1.34` of `v1.34.4`, and of `v1.34.4-gke.100`.
fn minor(version: &str) -> &str {
    let patch = version.match_indices('.').nth(1);
    patch.map_or(version, |(at, _)| &version[..at])
}

/// `API server 10.10 s: explained 9.30 s (92 %): calls 3.40, ..., unexplained 0.80`.
fn explained(text: &mut String, bill: &Bill, measured: f64) {
    let explained = bill.explained_cpu_seconds;
    let mut parts: Vec<String> = purposes(&bill.parts)
        .into_iter()
        .map(|(name, seconds)| match seconds {
            Some(seconds) => format!("{name} {seconds:.2}"),
            None => format!("{name} without a price"),
        })
        .collect();
    let rest = measured - explained;
    if rest > 0.0 {
        parts.push(format!("unexplained {rest:.2}"));
    }
    put_line!(
        text,
        "API server {measured:.2} s: explained {explained:.2} s ({:.0} %): {}",
        1e2 * explained / measured,
        parts.join(", ")
    );
}

#[cfg(test)]
mod tests {
    use super::minor;

    #[test]
    fn a_minor_version_is_that_of_any_distribution() {
        let of = [
            "v1.34.4",
            "v1.34.4-gke.1047000",
            "v1.34.2+k3s1",
            "v1.34.0-eks-a737599",
        ];
        assert_eq!(of.map(minor), ["v1.34"; 4]);
        assert_eq!(minor("v1.34"), "v1.34");
    }
}
