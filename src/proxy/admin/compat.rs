//! KubeVirt's own client metric, as its components would count what the books have.
//!
//! Source: KubeVirt's `pkg/monitoring/metrics/common/client`. The labels are a closed set by
//! KubeVirt's rule over names that an API server has confirmed; a component's own counter has no
//! series before its first request, and neither has this.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;

use super::{
    family::{counter, counter_family},
    naming::Named,
};
use classify::kubevirt::is_kubevirt_component;
use ledger::{Outcome, RowCount};
use record::ProxyInfo;

/// In the order of KubeVirt's family.
const LABELS: [&str; 5] = ["code", "method", "host", "resource", "verb"];
/// Methods that may become a label.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];
/// What a component counts where no response came.
const NO_RESPONSE: &str = "<error>";

/// `kubevirt_rest_client_requests_total` of KubeVirt's components, or of the one component that
/// the proxy counts for, in at most `series_max` series and one for what comes after them.
pub(super) fn requests(rows: &[Named<'_>], info: &ProxyInfo, series_max: usize) -> MetricFamily {
    let host = host(&info.upstream);
    let mut series: BTreeMap<[String; 5], u64> = BTreeMap::new();
    for one in rows {
        if info.component.is_none() && !is_kubevirt_component(&one.row.component) {
            continue;
        }
        for (exists, count) in [(true, one.named), (false, one.unnamed)] {
            if count > 0 {
                let mut labels = labels(one.row, host, exists);
                if series.len() >= series_max && !series.contains_key(&labels) {
                    labels = ["", "", host, "overflow", ""].map(str::to_owned);
                }
                *series.entry(labels).or_default() += count;
            }
        }
    }
    let metrics = series.iter().map(|(values, count)| {
        let labels: Vec<_> = LABELS
            .into_iter()
            .zip(values.iter().map(String::as_str))
            .collect();
        counter(&labels, *count)
    });
    counter_family(
        "kubevirt_rest_client_requests_total",
        "Requests of KubeVirt's components by the rule of their own counter, seen by kubetoll-proxy.",
        metrics.collect(),
    )
}

fn labels(row: &RowCount, host: &str, exists: bool) -> [String; 5] {
    let name = row.name();
    let code = match row.outcome {
        Outcome::Code(code) => code.to_string(),
        Outcome::NoAnswer(_) => NO_RESPONSE.to_owned(),
    };
    // KubeVirt takes namespaces' subresources for resources, and what follows a second "/api/".
    let resource = match name.kubevirt_resource {
        own @ ("none" | "overflow" | "status" | "finalize") => own,
        own if exists && own == name.resource => own,
        _ => "unproven",
    };
    let verb = match name.kubevirt_verb {
        verb @ ("none" | "overflow" | "LIST" | "WATCH" | "CREATE" | "UPDATE") => verb,
        verb if METHODS.contains(&verb) => verb,
        _ => "other",
    };
    [&code, method(row), host, resource, verb].map(str::to_owned)
}

/// The method, as far as the name of the call tells it: of a request whose resource KubeVirt
/// doesn't see, `get` can be HEAD too.
fn method(row: &RowCount) -> &'static str {
    let name = row.name();
    let verb = match name.kubevirt_verb {
        "none" => name.verb.to_ascii_uppercase(),
        verb => verb.to_owned(),
    };
    match verb.as_str() {
        "LIST" | "WATCH" => "GET",
        "CREATE" => "POST",
        "UPDATE" => "PUT",
        "DELETECOLLECTION" => "DELETE",
        verb => METHODS
            .into_iter()
            .find(|method| *method == verb)
            .unwrap_or("other"),
    }
}

/// Host and port of the first upstream, as a component sees them that has no proxy.
fn host(upstream: &str) -> &str {
    let first = upstream.split(',').next().unwrap_or_default();
    let after_scheme = first.split_once("://").map_or(first, |(_, rest)| rest);
    after_scheme.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::naming::Naming;
    use classify::{CallName, Target, classify, kubevirt::kubevirt_call};
    use ledger::Snapshot;

    fn row(method: &str, target: &str, outcome: Outcome) -> RowCount {
        let target = Target::parse(method, target.as_bytes()).unwrap();
        let call = classify(method, &target);
        let name = CallName::new(&call, kubevirt_call(method, &target));
        RowCount {
            id: 0,
            component: "virt-controller".to_owned(),
            user: String::new(),
            call: name.parts().map(str::to_owned),
            outcome,
            answered: 1,
            closed: 1,
            cut_short: 0,
            request_bytes: 0,
            response_bytes: 0,
            to_head: Default::default(),
            to_end: Default::default(),
        }
    }

    fn series(rows: Vec<RowCount>, series_max: usize) -> Vec<(String, u64)> {
        let info: ProxyInfo = serde_json::from_str(
            r#"{"instance": "i", "started": "2026-01-01T00:00:00Z", "version": "0",
                "component": null, "upstream": "https://10.0.0.1:443/,https://10.0.0.2:443/"}"#,
        )
        .unwrap();
        let books = Snapshot {
            rows,
            ..Snapshot::default()
        };
        let family = requests(&Naming::default().of(&books), &info, series_max);
        let metrics = family.get_metric().iter();
        let text = metrics.map(|metric| {
            let values: Vec<_> = metric.get_label().iter().map(|pair| pair.value()).collect();
            (values.join(" "), metric.get_counter().get_value() as u64)
        });
        text.collect()
    }

    #[test]
    fn requests_are_named_as_the_components_own_counter_names_them() {
        let code = Outcome::Code(200);
        let named =
            |method: &str, target: &str| series(vec![row(method, target, code)], 9)[0].0.clone();
        let at = "10.0.0.1:443";
        for (method, target, wanted) in [
            (
                "PUT",
                "/api/v1/namespaces/n/pods/p/status",
                format!("200 PUT {at} pods UPDATE"),
            ),
            ("GET", "/api/v1/pods", format!("200 GET {at} pods LIST")),
            (
                "GET",
                "/api/v1/pods?watch=true",
                format!("200 GET {at} pods WATCH"),
            ),
            (
                "DELETE",
                "/api/v1/namespaces/n/pods",
                format!("200 DELETE {at} pods DELETE"),
            ),
            (
                "HEAD",
                "/api/v1/namespaces/n/pods/p",
                format!("200 HEAD {at} pods HEAD"),
            ),
            ("GET", "/version", format!("200 GET {at} none none")),
            (
                "GET",
                "/api/v1/namespaces/n/",
                format!("200 GET {at} none none"),
            ),
            (
                "PATCH",
                "/api/v1/namespaces/n/status",
                format!("200 PATCH {at} status PATCH"),
            ),
            (
                "GET",
                "/api/v1/nodes/n/proxy/api/v1/namespaces/n/evil",
                format!("200 GET {at} unproven LIST"),
            ),
            ("EVIL", "/api/v1/pods", format!("200 other {at} pods other")),
        ] {
            assert_eq!(named(method, target), wanted, "{method} {target}");
        }
    }

    #[test]
    fn names_are_bounded_and_no_request_is_lost() {
        let made_up = (0..50).map(|number| {
            let target = format!("/api/v1/things{number}");
            row("GET", &target, Outcome::Code(404))
        });
        assert_eq!(
            series(made_up.collect(), 9),
            [("404 GET 10.0.0.1:443 unproven LIST".to_owned(), 50)]
        );
        let proven = (0..50).map(|number| {
            let target = format!("/api/v1/things{number}");
            row("GET", &target, Outcome::Code(200))
        });
        let capped = series(proven.collect(), 9);
        assert_eq!(capped.len(), 10);
        assert_eq!(capped.iter().map(|(_, count)| count).sum::<u64>(), 50);
        assert!(capped.contains(&("  10.0.0.1:443 overflow ".to_owned(), 41)));
        let mut foreign = row("GET", "/api/v1/pods", Outcome::Code(200));
        foreign.component = "kubectl".to_owned();
        assert_eq!(series(vec![foreign], 9), []);
    }
}
