//! The chart and the kustomizations: that they are the same, that a real API server takes them,
//! and that what they name is there.

mod certificates;
mod cluster;
mod krew;
mod monitoring;
mod runs;
mod schemas;

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::real;

/// A kustomization and the chart's settings that it stands for.
const KUSTOMIZATIONS: [(&str, &str); 4] = [
    ("proxy", "proxy.enabled=true"),
    ("node-local", "proxy.kind=DaemonSet"),
    ("monitoring", "proxy.enabled=false,monitoring.enabled=true"),
    ("runs", "proxy.enabled=false,runs.enabled=true"),
];

/// Settings of the chart that no kustomization has.
const MORE: [&str; 3] = [
    "proxy.certificate.issuer=kubetoll,proxy.certificate.ipAddresses={10.96.0.50},\
     imagePullSecrets={registry},nodeSelector.pool=infra,tolerations[0].key=infra,\
     tolerations[0].operator=Exists,proxy.extraArgs={--connections-max=2000}",
    "proxy.enabled=false,runs.enabled=true,runs.history.postgresSecret=history",
    "proxy.replicas=1,runs.enabled=true,runs.tokenSecret=kubetoll-proxy-admin,\
     runs.proxies={http://kubetoll-proxy-admin:16444},runs.history.storageClass=fast,\
     monitoring.enabled=true,monitoring.labels.release=stack",
];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// Standard output of a program that must succeed.
fn output(command: &mut Command) -> String {
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program with something on standard input.
fn fed(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// The arguments and the grace period of the chart's proxy; `None` where Go is missing and may be.
pub fn proxy_container() -> Option<(Vec<String>, Duration)> {
    let objects = documents(&rendered("proxy.compatMetrics=true,proxy.recorder=100000")?);
    let template = objects.iter().find_map(pod_template)?;
    let arguments = template["spec"]["containers"][0]["args"].as_array()?;
    let arguments = arguments.iter().filter_map(Value::as_str);
    let grace = template["spec"]["terminationGracePeriodSeconds"].as_u64()?;
    Some((
        arguments.map(str::to_owned).collect(),
        Duration::from_secs(grace),
    ))
}

/// What the chart makes; `None` where Go is missing and may be.
fn rendered(settings: &str) -> Option<String> {
    let mut helm = Command::new(real::program("helm")?);
    helm.args(["template", "kubetoll", "--namespace", "kubevirt"]);
    helm.args(["--kube-version", "1.34.4", "--set", settings]);
    Some(output(helm.arg(deploy().join("chart"))))
}

fn documents(yaml: &str) -> Vec<Value> {
    let documents = format!("\n{yaml}");
    let documents = documents.split("\n---");
    let documents = documents.map(|text| serde_saphyr::from_str::<Value>(text).unwrap());
    documents.filter(|document| !document.is_null()).collect()
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let objects = objects.into_iter().map(|object| {
        let metadata = &object["metadata"];
        let name = format!(
            "{} {} {}",
            object["kind"], metadata["namespace"], metadata["name"]
        );
        (name, object)
    });
    objects.collect()
}

/// All that the chart can make.
fn everything() -> Option<Vec<String>> {
    let settings = KUSTOMIZATIONS.iter().map(|(_, settings)| *settings);
    settings.chain(MORE).map(rendered).collect()
}

/// The pod templates in an object.
fn pod_template(object: &Value) -> Option<&Value> {
    match object["kind"].as_str()? {
        "Deployment" | "DaemonSet" => Some(&object["spec"]["template"]),
        "CronJob" => Some(&object["spec"]["jobTemplate"]["spec"]["template"]),
        _ => None,
    }
}

#[test]
fn the_chart_and_the_kustomizations_are_the_same_objects() {
    let (Some(kubectl), Some(helm)) = (real::program("kubectl"), real::program("helm")) else {
        return;
    };
    let helm = |command: &str, settings: &str| {
        let mut helm = Command::new(&helm);
        helm.arg(command).arg(deploy().join("chart"));
        helm.args(["--kube-version", "1.34.4", "--set", settings]);
        helm.output().unwrap().status.success()
    };
    assert!(helm("lint", "proxy.enabled=true"));
    for misspelt in ["proxy.kind=Pod", "proxy.replica=3", "runs.history.sice=1Gi"] {
        assert!(!helm("template", misspelt), "{misspelt}");
    }
    let service = "http://kubetoll-proxy-admin.default.svc:16444";
    let runs = format!("runs.enabled=true,runs.proxies={{http://10.0.0.1:16444,{service}}}");
    for (several, works) in [
        ("replicas=2", false),
        ("kind=DaemonSet", false),
        ("replicas=1", true),
    ] {
        let settings = format!("{runs},proxy.{several}");
        assert_eq!(helm("template", &settings), works, "{several}");
    }
    for (name, settings) in KUSTOMIZATIONS {
        let mut kustomize = Command::new(&kubectl);
        kustomize.arg("kustomize");
        kustomize.arg(deploy().join("kustomize").join(name));
        let ours = by_name(documents(&output(&mut kustomize)));
        let charts = by_name(documents(&rendered(settings).unwrap()));
        assert_eq!(
            ours, charts,
            "{name}: deploy/kustomize/update makes them equal"
        );
        assert!(ours.len() >= 4, "{name}");
    }
}

#[test]
fn a_proxy_has_time_to_drain_and_no_token() {
    let Some(manifests) = everything() else {
        return;
    };
    let mut proxies = 0;
    for object in manifests.iter().flat_map(|text| documents(text)) {
        let Some(template) = pod_template(&object) else {
            continue;
        };
        let spec = &template["spec"];
        let args = spec["containers"][0]["args"].as_array().unwrap();
        let seconds = |flag: &str| -> Option<u64> {
            let mut values = args
                .iter()
                .filter_map(|arg| arg.as_str()?.strip_prefix(flag));
            values.next_back()?.strip_suffix('s')?.parse().ok()
        };
        if let Some(delay) = seconds("--shutdown-delay=") {
            let grace = spec["terminationGracePeriodSeconds"].as_u64().unwrap();
            assert!(grace > delay + seconds("--drain=").unwrap(), "{grace}");
            assert_eq!(spec["automountServiceAccountToken"], false);
            proxies += 1;
        }
    }
    assert!(proxies >= 3, "{proxies}");
}
