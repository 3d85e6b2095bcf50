//! Rules and dashboard: that promtool takes the rules, that each alert comes when it should, and
//! that what they ask for is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

use http::Method;
use identity::mint::Authority;
use lab::embedded::EmbeddedLab;
use serde_json::Value;

use super::{documents, output, rendered};
use crate::{
    kit::client::Target,
    support::{process::ProxyProcess, prometheus::promtool},
};

const SETTINGS: &str = "proxy.enabled=false,monitoring.enabled=true";

/// An object of the chart's monitoring.
fn object(kind: &str) -> Option<Value> {
    let objects = documents(&rendered(SETTINGS)?);
    objects.into_iter().find(|object| object["kind"] == kind)
}

#[test]
fn promtool_takes_the_rules_and_each_alert_comes_when_it_should() {
    let (Some(rule), Some(mut check)) = (object("PrometheusRule"), promtool()) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.yaml");
    fs::write(&rules, rule["spec"].to_string()).unwrap();
    output(check.args(["check", "rules", "--lint-fatal"]).arg(&rules));
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/rules-test.yaml");
    let cases = fs::read_to_string(cases).unwrap();
    for alert in alerts(&rule) {
        assert!(cases.contains(&format!("alertname: {alert}")), "{alert}");
    }
    let test = dir.path().join("rules-test.yaml");
    fs::write(&test, cases).unwrap();
    output(promtool().unwrap().args(["test", "rules"]).arg(&test));
}

fn alerts(rule: &Value) -> Vec<String> {
    let groups = rule["spec"]["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let names = rules.filter_map(|rule| rule["alert"].as_str());
    names.map(str::to_owned).collect()
}

/// What is asked of Prometheus, with the title or name of who asks.
fn expressions() -> Option<Vec<(String, String)>> {
    let rule = object("PrometheusRule")?;
    let mut found = Vec::new();
    let groups = rule["spec"]["groups"].as_array().unwrap().iter();
    for rule in groups.flat_map(|group| group["rules"].as_array().unwrap()) {
        let name = rule["record"].as_str().or(rule["alert"].as_str()).unwrap();
        found.push((name.to_owned(), rule["expr"].as_str().unwrap().to_owned()));
    }
    let dashboard = object("ConfigMap")?;
    let dashboard = dashboard["data"]["kubetoll.json"].as_str().unwrap();
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            found.push((
                title.to_owned(),
                target["expr"].as_str().unwrap().to_owned(),
            ));
        }
    }
    Some(found)
}

#[test]
fn what_is_extrapolated_is_called_an_estimate_and_nothing_else() {
    let Some(expressions) = expressions() else {
        return;
    };
    for (name, expression) in expressions {
        let is_estimate = ["rate(", "increase(", "_estimate"]
            .iter()
            .any(|mark| expression.contains(mark));
        // An alert says "about" in its text.
        let is_alert = name.starts_with("Kubetoll");
        assert!(
            is_alert || name.contains("estimate") == is_estimate,
            "{name}"
        );
    }
}

/// The metrics in an expression, each with the labels that it is selected or summed by.
fn selected(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
    let mut found = Vec::new();
    for (at, _) in expression.match_indices("kubetoll") {
        if expression[..at].ends_with(is_word) {
            continue;
        }
        let rest = &expression[at..];
        let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let mut labels = BTreeSet::new();
        if let Some(selector) = rest.strip_prefix('{') {
            let selector = selector.split('}').next().unwrap();
            for part in selector.split(", ") {
                labels.extend(part.split(['=', '!']).next().map(str::to_owned));
            }
        }
        // The nearest `by` before the metric.
        if let Some((_, by)) = expression[..at].rsplit_once("by (") {
            let by = by.split(')').next().unwrap();
            labels.extend(by.split(", ").map(str::to_owned));
        }
        found.push((name.to_owned(), labels));
    }
    found
}

/// What Prometheus itself adds to each series; the cluster where several are read together.
const TARGET_LABELS: [&str; 3] = ["cluster", "namespace", "pod"];

#[test]
fn the_dashboard_can_be_of_one_cluster_namespace_and_pod() {
    let Some(config) = object("ConfigMap") else {
        return;
    };
    let dashboard: Value =
        serde_json::from_str(config["data"]["kubetoll.json"].as_str().unwrap()).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let names: Vec<&str> = variables
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["datasource", "cluster", "namespace", "pod", "component"]
    );
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            for (metric, labels) in selected(expression) {
                // A recording has no pods any more.
                let is_recorded = metric.contains(':');
                for label in TARGET_LABELS.iter().take(if is_recorded { 1 } else { 3 }) {
                    assert!(labels.contains(*label), "{expression}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_metric_of_the_rules_and_the_dashboard_is_there_with_its_labels() {
    let Some(expressions) = expressions() else {
        return;
    };
    let mut there = recorded();
    there.extend(metrics_after_load().await);
    let mut count = 0;
    for (name, expression) in expressions {
        for (metric, labels) in selected(&expression) {
            let known = there.get(&metric);
            let known = known.unwrap_or_else(|| panic!("{name}: there is no {metric}"));
            for label in labels {
                let is_known = known.contains(&label) || TARGET_LABELS.contains(&label.as_str());
                assert!(is_known, "{name}: {metric} has no label {label}");
            }
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

/// The labels that the chart's own recordings have.
fn recorded() -> BTreeMap<String, BTreeSet<String>> {
    let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    [
        (
            "kubetoll:verb_resource_estimate:increase5m",
            labels(&["component", "verb", "resource"]),
        ),
        (
            "kubetoll:calls_per_second_estimate:rate5m",
            labels(&["component"]),
        ),
        ("kubetoll:calls_per_second_budget", labels(&["component"])),
    ]
    .map(|(name, labels)| (name.to_owned(), labels))
    .into()
}

/// The metrics of a proxy that has served something, with all labels that they have.
async fn metrics_after_load() -> BTreeMap<String, BTreeSet<String>> {
    identity::install_provider();
    let lab = EmbeddedLab::start().await.unwrap();
    let authority = Authority::new("monitoring").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("upstream.crt");
    fs::write(&ca, lab.authority.certificate_pem()).unwrap();
    let ca = ca.display().to_string();
    let arguments = ["--upstream", &lab.url, "--upstream-ca", &ca];
    let proxy = ProxyProcess::start(dir.path(), &authority, &arguments);
    let token = lab.token_for("someone", &["system:masters"]);
    let target = Target::new(&proxy.url, &authority);
    for path in ["/api/v1/pods", "/version"] {
        let mut connection = target.http1().await.unwrap();
        let mut request = target.request_http1(Method::GET, path, b"");
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        assert_eq!(
            connection.send_request(request).await.unwrap().status(),
            200
        );
    }
    let text = scrape(&proxy.admin);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split("\",");
        let labels = labels.filter_map(|label| label.split_once('='));
        let known = found.entry(name.to_owned()).or_default();
        known.extend(labels.map(|(label, _)| label.to_owned()));
    }
    found
}

fn scrape(admin: &str) -> String {
    let mut stream = TcpStream::connect(admin.trim_start_matches("http://")).unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-length: "), "{head}");
    body.to_owned()
}
