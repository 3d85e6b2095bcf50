//! `kubetoll run` as a user starts it: in the embedded lab, and on a real kube-apiserver.

use std::{
    path::Path,
    process::{Command, Output},
};

use record::{AuditReport, PerfAuditResults, RunRecord, RunResult, Share};

use crate::support::{lines::assert_line, real};

/// A row and how often 100 objects cost it: component, verb, resource with subresource.
type Row = (&'static str, &'static str, &'static str, f64);

/// What was recorded of KubeVirt's own virt-controller and virt-api (main of 2026-08-22, on
/// kube-apiserver 1.34.4) and of kube-scheduler, for 100 objects with pauses of 100 ms, but for
/// leases, watches and conflicts.
const ALWAYS: [Row; 7] = [
    ("kube-scheduler", "create", "pods/binding", 100.0),
    ("kube-scheduler", "create", "events", 100.0),
    ("virt-api", "get", "virtualmachineinstances", 100.0),
    ("virt-controller", "create", "pods", 100.0),
    ("virt-controller", "patch", "pods/status", 100.0),
    ("virt-controller", "patch", "pods", 100.0),
    (
        "virt-controller",
        "update",
        "virtualmachineinstances",
        312.0,
    ),
];
const VMI: [Row; 1] = [("virt-controller", "create", "events", 100.0)];
const VM: [Row; 6] = [
    ("virt-controller", "create", "events", 200.0),
    ("virt-controller", "create", "controllerrevisions", 100.0),
    (
        "virt-controller",
        "create",
        "virtualmachineinstances",
        100.0,
    ),
    ("virt-controller", "patch", "virtualmachines", 100.0),
    ("virt-controller", "update", "virtualmachines", 100.0),
    ("virt-controller", "update", "virtualmachines/status", 498.0),
];
const INSTANCETYPE: [Row; 9] = [
    ("virt-api", "get", "virtualmachinepreferences", 849.0),
    ("virt-api", "get", "virtualmachineinstancetypes", 375.0),
    ("virt-controller", "create", "events", 200.0),
    ("virt-controller", "create", "controllerrevisions", 300.0),
    (
        "virt-controller",
        "create",
        "virtualmachineinstances",
        100.0,
    ),
    ("virt-controller", "patch", "virtualmachines", 100.0),
    ("virt-controller", "patch", "virtualmachines/status", 100.0),
    ("virt-controller", "update", "virtualmachines", 100.0),
    ("virt-controller", "update", "virtualmachines/status", 471.0),
];

fn kubetoll(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("KUBETOLL_STORE", crate::support::history::scratch())
        .output()
        .unwrap()
}

/// What a run says of the lab that the arguments ask for.
fn simulated_in(arguments: &[&str]) -> &'static str {
    if arguments.contains(&"real") {
        "lab: a real etcd and kube-apiserver on this machine; KubeVirt is SIMULATED (use --kubeconfig \
         or --context for a cluster)"
    } else {
        "lab: an API server in this process; KubeVirt is SIMULATED (use --kubeconfig or --context for \
         a cluster, --lab real for a real kube-apiserver)"
    }
}

fn run(scenario: &str, arguments: &[&str]) -> RunResult {
    let mut all = vec!["run", scenario, "--output", "json"];
    all.extend(arguments);
    let output = kubetoll(&all);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_line(&stderr, simulated_in(arguments));
    let result: RunResult =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    assert!(result.valid, "{:#?}", result.checks);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    result
}

/// The rows that the run shares with the recording are within a quarter of it; the simulation
/// makes no call that the recording doesn't have. What a component does at each change that it sees
/// may be half as much: on a busy machine it sees several at once.
fn compare(result: &RunResult, recorded: &[&[Row]]) {
    let per_object = |component: &str, verb: &str, resource: &str| -> f64 {
        let rows = result.rows.iter().filter(|row| {
            let call = &row.call;
            let name = if call.subresource.is_empty() {
                call.resource.clone()
            } else {
                format!("{}/{}", call.resource, call.subresource)
            };
            row.share == Share::Workload
                && row.outcome.is_success()
                && (row.component.as_str(), call.verb.as_str(), name.as_str())
                    == (component, verb, resource)
        });
        rows.map(|row| row.per_object).sum()
    };
    let expected: Vec<&Row> = recorded.iter().copied().flatten().collect();
    for (component, verb, resource, per_100) in expected.iter().copied() {
        let (found, wanted) = (per_object(component, verb, resource), per_100 / 100.0);
        let is_fixed = per_100 % 100.0 == 0.0;
        let least = if is_fixed { 0.75 } else { 0.5 };
        assert!(
            found >= wanted * least && found <= wanted * 1.25,
            "{component} {verb} {resource}: {found} for each object, recorded {wanted}"
        );
    }
    for row in &result.rows {
        let compared = ["kube-scheduler", "virt-api", "virt-controller"]
            .contains(&row.component.as_str())
            && row.share == Share::Workload
            && row.outcome.is_success();
        let known = expected.iter().any(|(component, verb, resource, _)| {
            *component == row.component
                && *verb == row.call.verb
                && resource.split('/').next() == Some(&row.call.resource)
        });
        assert!(known || !compared, "not in the recording: {row:?}");
    }
}

fn check_counts(result: &RunResult, count: u64) {
    assert_eq!(result.values["CREATE-pods-count"], count);
    assert_eq!(result.count as u64, count);
    let quantiles = result.latency.by_driver.unwrap();
    assert!(
        quantiles.p50 > 0.0 && quantiles.p50 <= quantiles.p95 && quantiles.p95 <= quantiles.p99
    );
    assert!(result.latency.by_status.is_some());
}

#[test]
fn a_hundred_vmis_in_the_embedded_lab_cost_what_was_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let result = run("vmi", &["--results-dir", path]);
    check_counts(&result, 100);
    compare(&result, &[&ALWAYS, &VMI]);
    check_files(dir.path(), &result);
}

fn check_files(dir: &Path, result: &RunResult) {
    let record: RunRecord =
        serde_json::from_slice(&std::fs::read(dir.join("record.json")).unwrap()).unwrap();
    assert_eq!(record.id, result.id);
    assert_eq!(record.objects.len(), 100);
    let deletion = record.proxies[0].deletion.as_ref().unwrap();
    let deleted = deletion.difference.iter();
    assert!(
        deleted
            .into_iter()
            .any(|row| row.call.verb == "delete" && row.call.resource == "pods")
    );
    let audit = std::fs::read(dir.join("VMI-perf-audit-results.json")).unwrap();
    let audit: PerfAuditResults = serde_json::from_slice(&audit).unwrap();
    assert!((audit.values["CREATE-pods-count"].value - 100.0).abs() < f64::EPSILON);
    assert!(audit.values.contains_key("vmiCreationToRunningSecondsP95"));
}

/// As many as two nodes take, at once.
#[test]
fn full_nodes_are_exact_without_a_journal() {
    let arguments = [
        "--count",
        "220",
        "--nodes",
        "2",
        "--pause",
        "0ms",
        "--no-journal",
    ];
    let result = run("vmi", &arguments);
    check_counts(&result, 220);
    let mut checks = result.checks.iter();
    let check = checks.find(|check| check.name == record::AUDIT_COUNT_CHECK);
    let detail = &check.unwrap().detail;
    assert!(detail.ends_with(" explained, 0 unexplained"), "{detail}");
}

#[test]
fn a_template_of_ones_own_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let template = dir.path().join("vm.yaml");
    let vm = "apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: mine}
spec:
  runStrategy: Always
  template: {spec: {domain: {devices: {}}}}
";
    std::fs::write(&template, vm).unwrap();
    let template = template.to_str().unwrap();
    let arguments = [
        "run",
        "--template",
        template,
        "--count",
        "3",
        "--kwok",
        "--output",
        "json",
    ];
    let output = kubetoll(&arguments);
    assert_eq!(output.status.code(), Some(0));
    let result: RunResult = serde_json::from_slice(&output.stdout).unwrap();
    check_counts(&result, 3);
    assert_eq!(result.scenario, "template");
    assert!(result.baseline.unwrap().seconds >= 2.0);
    let deleted = result
        .deletion
        .iter()
        .filter(|row| row.call.verb == "delete");
    assert!(
        deleted.map(|row| row.count).sum::<u64>() >= 6,
        "three VMIs and three pods"
    );
}

#[test]
fn vms_in_the_embedded_lab_cost_what_was_recorded() {
    let result = run("vm", &["--count", "40"]);
    check_counts(&result, 40);
    compare(&result, &[&ALWAYS, &VM]);
}

#[test]
fn vms_with_an_instancetype_in_the_embedded_lab_cost_what_was_recorded() {
    let result = run("instancetype", &["--count", "40"]);
    check_counts(&result, 40);
    compare(&result, &[&ALWAYS, &INSTANCETYPE]);
}

#[test]
fn all_scenarios_are_exact_on_a_real_kube_apiserver() {
    if real::assets().is_none() {
        return;
    }
    for scenario in ["vmi", "vm", "instancetype"] {
        let result = run(scenario, &["--lab", "real", "--count", "20"]);
        check_counts(&result, 20);
    }
}

#[test]
fn thresholds_decide_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("thresholds.json");
    for (expectation, code) in [
        (r#"{"CREATE-pods-count": {"value": 2}}"#, 0),
        (r#"{"CREATE-pods-count": {"value": 1}}"#, 3),
        (r#"{"PATCH-unknown-count": {"value": 1}}"#, 4),
    ] {
        let text = format!(r#"{{"thresholdExpectations": {expectation}}}"#);
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let arguments = [
            "run",
            "vmi",
            "--count",
            "2",
            "--baseline",
            "0s",
            "--thresholds",
            file,
        ];
        assert_eq!(
            kubetoll(&arguments).status.code(),
            Some(code),
            "{expectation}"
        );
    }
}

#[test]
fn an_audit_log_of_the_real_thing_is_counted() {
    let log = "tests/vectors/audit/instancetype-1.jsonl.gz";
    let output = kubetoll(&[
        "audit",
        "--output",
        "json",
        "--components",
        "virt-controller,virt-api",
        log,
    ]);
    assert_eq!(output.status.code(), Some(0));
    let report: AuditReport = serde_json::from_slice(&output.stdout).unwrap();
    for (name, value) in [
        ("CREATE-controllerrevisions-count", 3.0),
        ("CREATE-pods-count", 1.0),
        ("GET-virtualmachinepreferences-count", 8.0),
        ("UPDATE-virtualmachines-count", 8.0),
    ] {
        assert_eq!(
            report.values.get(name).map(|value| value.value),
            Some(value),
            "{name}"
        );
    }
}

/// Files may not grow here, as on a full disk: the result is printed all the same, and no half
/// file is left.
#[test]
fn a_full_disk_loses_the_files_but_not_the_result() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" run vmi --count 2 --baseline 0s --no-store --results-dir \"$1\"";
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_kubetoll")])
        .arg(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let file = dir.path().join("record.json");
    assert_line(
        &said,
        &format!(
            "kubetoll: cannot write {}: File too large (os error 27) at path \"{}/…\"",
            file.display(),
            dir.path().display()
        ),
    );
    assert_line(
        &String::from_utf8_lossy(&output.stdout),
        "  CREATE-pods-count                     2",
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn wrong_calls_are_refused_before_anything_runs() {
    for (arguments, code) in [
        (&["run", "vmi", "--count", "0"][..], 2),
        (&["run"], 2),
        (&["run", "vmi", "--proxy", "http://127.0.0.1:1"], 2),
        (&["run", "vmi", "--kubeconfig", "/nowhere"], 1),
        (&["run", "vmi", "--kubevirt-namespace", "kubevirt"], 2),
        (&["run", "vmi", "--nodes", "0"], 2),
        (&["run", "vmi", "--nodes", "3", "--context", "c"], 2),
        (&["run", "vmi", "--journal", "--no-journal"], 2),
        (&["run", "vmi", "--proxy-via", "auto"], 2),
        (&["run", "vmi", "--proxy-token-file", "/nowhere"], 2),
        (&["run", "vmi", "--namespace", "a b"], 2),
        (&["rbac", "run", "--namespace", "-a"], 2),
        (&["rbac", "attach", "--namespace", "kubevirt"], 2),
        (&["rbac", "status", "--with-token-file"], 2),
        (&["rbac", "detach", "--proxy-via", "auto"], 2),
        (
            &[
                "crosscheck",
                "--proxy",
                "http://x",
                "--component-metrics",
                "a=http://x",
            ],
            2,
        ),
        (&["measure", "--", "true"], 2),
        (&["measure", "--proxy-via", "pod-network", "--", "true"], 2),
        (&["measure", "--kubeconfig", "/nowhere", "--", "true"], 1),
        (
            &[
                "measure",
                "--in-cluster",
                "--proxy",
                "http://127.0.0.1:1",
                "--",
                "true",
            ],
            2,
        ),
        (&["measure", "--proxy", "ftp://x", "--", "true"], 2),
        (&["measure", "stop", "a/b"], 2),
        (
            &[
                "run",
                "vmi",
                "--kubeconfig",
                "/nowhere",
                "--proxy",
                "http://127.0.0.1:1",
            ],
            1,
        ),
        (&["run", "--template", "Cargo.toml"], 1),
        (&["run", "vmi", "--results-dir", "/proc/nowhere"], 1),
        (&["run", "vmi", "--thresholds", "Cargo.toml"], 1),
        (&["verify", "Cargo.toml", "Cargo.toml"], 1),
        (&["audit", "/nowhere"], 1),
    ] {
        let output = kubetoll(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(!stderr.is_empty(), "{arguments:?}");
    }
}

/// Each in one sentence, before a lab or a proxy is there.
#[test]
fn options_that_could_have_no_effect_or_no_good_end_are_usage_errors() {
    fn measure<'a>(more: &[&'a str]) -> Vec<&'a str> {
        let proxy = ["measure", "--proxy", "http://127.0.0.1:1"];
        [&proxy[..], more, &["--", "true"]].concat()
    }
    fn run<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&["run", "vmi"], more].concat()
    }
    let restless = "the silence of 15 s (--settle) can't come within 3 s (--timeout): --settle must \
                    be the shorter one";
    let own = "--label scenario=...: the run knows its scenario by itself, and keeps it under that \
               label: choose another name";
    let version = own.replace("scenario", "kubernetes");
    let job = "--label job=...: the job of a run is what --job says";
    let keep = "--keep is for a run on a cluster: a lab ends with the run, and its objects with it";
    let idle = "--no-store keeps nothing, so that --store has nothing to say: give one";
    for (arguments, said) in [
        (run(&["--settle", "15s", "--timeout", "3s"]), restless),
        (
            measure(&["--settle", "5m"]),
            "the silence of 300 s (--settle) can't come within 300 s (the time that measure waits \
             for it): --settle must be the shorter one",
        ),
        (run(&["--label", "scenario=zzz"]), own),
        (measure(&["--label", "scenario=zzz"]), own),
        (vec!["exec", "--label", "scenario=zzz", "--", "true"], own),
        (run(&["--label", "kubernetes=v9"]), &version),
        (run(&["--label", "job=other", "--job", "learn"]), job),
        (run(&["--no-store", "--store", "x.db"]), idle),
        (run(&["--keep"]), keep),
    ] {
        let output = kubetoll(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(text, format!("kubetoll: {said}\n"), "{arguments:?}");
    }
    assert_eq!(kubetoll(&run(&["--job", ""])).status.code(), Some(2));
}

/// The headline has the calls in the run's namespace alone.
fn wasted_calls_are_the_same_in_both_places(text: &str, calls: &str) {
    let line = text.lines().find_map(|line| {
        let counted = line.strip_prefix("Wasted calls (404, 409, 422, 429): ")?;
        let own = counted.strip_suffix(" of them in the run's namespace");
        own.map_or(Some(counted), |both| both.split(", ").nth(1))
    });
    let own: f64 = line.unwrap().parse().unwrap();
    let calls: f64 = calls.replace(',', "").parse().unwrap();
    let said = format!(" each, {:.1} % wasted; ", 100.0 * own / calls);
    assert!(text.lines().last().unwrap().contains(&said), "{text}");
}

#[test]
fn the_text_of_a_run_ends_with_its_headline_and_has_what_costs_most_first() {
    let run = |more: &[&str]| {
        let arguments = [
            "run",
            "vmi",
            "--count",
            "5",
            "--pause",
            "1ms",
            "--baseline",
            "0s",
            "--no-primer",
            "--no-store",
        ];
        let output = kubetoll(&[&arguments, more].concat());
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run(&["--top", "3"]);
    let own: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("Calls that name the run's namespace"))
        .take_while(|line| !line.is_empty())
        .collect();
    let costs: Vec<f64> = own[2..5]
        .iter()
        .map(|row| row.split_whitespace().nth(10).unwrap().parse().unwrap())
        .collect();
    assert!(
        costs.is_sorted_by(|one, other| one >= other) && costs[2] > 0.0,
        "{text}"
    );
    assert_line(own[5], "  and … rows more with … calls");
    let total = own[6].trim().trim_end_matches(" per object");
    let (total, tolls) = total.split_once(" per object; ").unwrap();
    let (calls, each) = total.split_once(" calls, ").unwrap();
    let (_, tolls) = tolls.split_once(" tolls, ").unwrap();
    // The simulated components race as real ones do, so that a write may be in vain.
    let headline =
        format!("5 VMIs: {calls} calls, {each} each, … % wasted; {tolls} tolls each, … % wasted");
    assert_line(text.lines().last().unwrap(), &headline);
    wasted_calls_are_the_same_in_both_places(&text, calls);
    assert_line(
        &text,
        "  without events, lists, and what objects share, such as an instancetype",
    );
    assert!(
        !text.contains('\u{1b}'),
        "no colours where there is no terminal"
    );
    let by_name = run(&["--sort", "name"]);
    let first = by_name
        .lines()
        .skip_while(|line| !line.starts_with("Calls that name"))
        .nth(2);
    assert!(
        first.is_some_and(|row| row.starts_with("  kube-scheduler ")),
        "{by_name}"
    );
}
