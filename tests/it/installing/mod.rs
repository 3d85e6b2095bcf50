//! `kubetoll attach`, `status` and `detach` on a real kube-apiserver, where doubles play KubeVirt's
//! operator, the workload controllers and the kubelet (support/kubevirt says how), and the
//! proxies in the pods are real.

mod customized;
mod failures;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use cluster::kubeconfig::Credential;
use install::{
    Component,
    patch::{Mode, PORT, ProxySpec},
};
use kube::api::{Patch, PatchParams, PostParams};
use record::{ComponentInstallation, Installation};
use serde_json::{Value, json};

use crate::support::{
    kubevirt::{CALLS, KubeVirt, NAMESPACE, api, create, free_ports, kubetoll},
    lines::assert_line,
    wait,
};

/// What others have customized: one patch that is longer than ours could be, one that is short.
fn customized() -> Value {
    let short = r#"{"spec":{"template":{"metadata":{"labels":{"theirs":"yes"}}}}}"#;
    let long = json!({"metadata": {"annotations": {"theirs": "x".repeat(4000)}}}).to_string();
    json!({
        "infra": {"replicas": 1},
        "customizeComponents": {
            "flags": {"controller": {"v": "5"}},
            "patches": [
                {"resourceType": "Deployment", "resourceName": "*", "type": "strategic", "patch": short},
                {"resourceType": "Deployment", "resourceName": "VIRT-API", "type": "merge", "patch": long},
            ],
        },
    })
}

struct Stage {
    kubevirt: KubeVirt,
    admin: PathBuf,
}

impl Stage {
    async fn set(spec: Value) -> Option<Self> {
        let kubevirt = KubeVirt::install(spec).await?;
        kubevirt.settle().await;
        let token = kubevirt.cluster.admin_token().to_owned();
        let admin = kubeconfig(&kubevirt, "admin", token);
        Some(Self { kubevirt, admin })
    }

    fn run(&self, arguments: &[&str], code: i32) -> Output {
        run(&self.admin, arguments, code)
    }

    /// Attaches components on ports of their own: all pods are on one machine here.
    fn attach(&self, component: &str, more: &[&str], code: i32) -> Output {
        attach(&self.admin, component, more, code)
    }

    /// Attaches a component once more, on the port that it has.
    fn attach_at_port_of(&self, workload: &Value, more: &[&str]) -> Output {
        let proxy = &workload["spec"]["template"]["spec"]["initContainers"][0];
        let port = proxy["ports"][0]["containerPort"].to_string();
        let component = workload["metadata"]["name"].as_str().unwrap();
        let mut arguments = vec!["attach", "--component", component, "--image", "proxy:1"];
        arguments.extend(["--port", &port]);
        arguments.extend(more);
        kubetoll(&self.admin, &arguments)
    }

    fn status(&self, code: i32) -> Installation {
        let output = self.run(&["status", "--window", "100ms", "--output", "json"], code);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn drift(&self, component: &str) -> String {
        self.status_of(component).drift.join("; ")
    }

    fn status_of(&self, component: &str) -> ComponentInstallation {
        let output = kubetoll(
            &self.admin,
            &["status", "--window", "0s", "--output", "json"],
        );
        let status: Installation = serde_json::from_slice(&output.stdout).unwrap();
        let mut components = status.components.into_iter();
        components.find(|one| one.component == component).unwrap()
    }

    async fn has_objects(&self) -> bool {
        !self
            .kubevirt
            .get("Secret", "kubetoll-proxy-tls")
            .await
            .is_null()
            || !self
                .kubevirt
                .get("ConfigMap", "kubetoll-proxy-ca")
                .await
                .is_null()
    }
}

fn kubeconfig(kubevirt: &KubeVirt, name: &str, token: String) -> PathBuf {
    let cluster = &kubevirt.cluster;
    let (url, ca) = (cluster.url(), cluster.ca_pem());
    cluster
        .write_kubeconfig_for(name, &url, &ca, &Credential::Token(token))
        .unwrap()
}

fn run(kubeconfig: &Path, arguments: &[&str], code: i32) -> Output {
    let output = kubetoll(kubeconfig, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    output
}

fn attach(kubeconfig: &Path, component: &str, more: &[&str], code: i32) -> Output {
    let port = free_ports().to_string();
    let mut arguments = vec!["attach", "--component", component, "--port", &port];
    for default in [["--image", "proxy:1"], ["--timeout", "60s"]] {
        if !more.contains(&default[0]) {
            arguments.extend(default);
        }
    }
    arguments.extend(more);
    run(kubeconfig, &arguments, code)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Why an attach failed is said before everything is put back, and in the last line again.
#[track_caller]
fn put_back_after(said: &str, why: &str) {
    assert_line(said, &format!("{why}; putting everything back ..."));
    assert_line(
        said,
        &format!("kubetoll: {why}; everything was put back as it was"),
    );
}

/// A user with the Role of docs/OPERATING.md and no other right, but for `without`.
async fn installer(kubevirt: &KubeVirt, name: &str, without: Option<(&str, &str)>) -> PathBuf {
    let docs = include_str!("../../../docs/OPERATING.md");
    let (_, role) = docs.split_once("```yaml\n").unwrap();
    let mut role: Value = serde_saphyr::from_str(role.split_once("```").unwrap().0).unwrap();
    role["metadata"]["name"] = json!(name);
    for rule in role["rules"].as_array_mut().unwrap() {
        let holds = |list: &str, wanted: &str| {
            rule[list]
                .as_array()
                .unwrap()
                .iter()
                .any(|one| one == wanted)
        };
        if without
            .is_some_and(|(verb, resource)| holds("verbs", verb) && holds("resources", resource))
        {
            let verbs = rule["verbs"].as_array_mut().unwrap();
            verbs.retain(|verb| without.is_some_and(|(taken, _)| verb != taken));
            verbs.push(json!("watch"));
        }
    }
    create(&kubevirt.client, NAMESPACE, "Role", role).await;
    let account = json!({"metadata": {"name": name}});
    create(&kubevirt.client, NAMESPACE, "ServiceAccount", account).await;
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
    });
    create(&kubevirt.client, NAMESPACE, "RoleBinding", binding).await;
    let token = Command::new(kubevirt.cluster.assets().kubectl())
        .arg("--kubeconfig")
        .arg(kubeconfig(
            kubevirt,
            "maker",
            kubevirt.cluster.admin_token().to_owned(),
        ))
        .args(["create", "token", name, "--namespace", NAMESPACE])
        .output()
        .unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    kubeconfig(kubevirt, name, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_gives_pods_a_proxy_and_detach_gives_the_old_ones_back() {
    let Some(stage) = Stage::set(customized()).await else {
        return;
    };
    let kubevirt = &stage.kubevirt;
    let before = kubevirt.specs().await;
    let user = installer(kubevirt, "installer", None).await;
    let here = ["--namespace", NAMESPACE];
    for component in [
        "virt-controller",
        "virt-operator",
        "virt-api",
        "virt-handler",
    ] {
        attach(&user, component, &here, 0);
    }
    the_pods_are_as_wanted(kubevirt).await;
    others_are_untouched(kubevirt, &before[0]).await;
    let status = stage.status(0);
    for component in &status.components {
        assert!(
            component.attached && component.drift.is_empty(),
            "{component:?}"
        );
        assert_eq!((component.ready, component.wanted), (1, 1));
        assert_eq!(component.calls, Some(CALLS), "{component:?}");
        assert!(component.since.is_some());
    }
    let ten_years = Duration::from_secs(3650 * 86_400 - 40 * 86_400);
    assert!(status.certificates_until.unwrap() > jiff::Timestamp::now() + ten_years);
    the_user_may_also_look(&user);
    the_token_is_had_as_documented(&stage);
    drift_is_seen(&stage).await;

    let detached = run(
        &user,
        &[&["detach", "--component", "virt-api"], &here[..]].concat(),
        0,
    );
    assert_eq!(
        String::from_utf8_lossy(&detached.stdout),
        "virt-api: detached\n"
    );
    assert!(stage.has_objects().await, "the others need them");
    run(&user, &[&["detach"], &here[..]].concat(), 0);
    kubevirt.settle().await;
    assert_eq!(kubevirt.specs().await, before);
    let operator = kubevirt.get("Deployment", "virt-operator").await;
    assert!(
        operator["metadata"]["annotations"]
            .get("kubetoll.dev/original")
            .is_none()
    );
    assert!(!stage.has_objects().await);
    let again = run(&user, &[&["detach"], &here[..]].concat(), 0);
    assert_eq!(
        String::from_utf8_lossy(&again.stdout),
        "nothing is attached\n"
    );
}

async fn the_pods_are_as_wanted(kubevirt: &KubeVirt) {
    let workload = kubevirt.get("Deployment", "virt-controller").await;
    let spec = &workload["spec"]["template"]["spec"];
    let proxy = &spec["initContainers"][0];
    let port = proxy["ports"][0]["containerPort"].as_u64().unwrap();
    assert_eq!(proxy["name"], "kubetoll-proxy");
    assert_eq!(proxy["image"], "proxy:1");
    assert_eq!(proxy["restartPolicy"], "Always");
    assert_eq!(proxy["ports"][1]["containerPort"], port + 1);
    let names = [&proxy["ports"][0]["name"], &proxy["ports"][1]["name"]];
    assert_eq!(names, ["toll-proxy", "toll-admin"]);
    for probe in ["startupProbe", "readinessProbe"] {
        let get = &proxy[probe]["httpGet"];
        assert_eq!(
            (&get["path"], &get["port"]),
            (&json!("/readyz"), &json!("toll-admin"))
        );
    }
    let security = &proxy["securityContext"];
    assert_eq!(security["runAsNonRoot"], true);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
    let component = &spec["containers"][0];
    let env = component["env"].as_array().unwrap();
    let variable = |name: &str| env.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(env.len(), 3, "its own variable stays");
    assert_eq!(variable("KUBERNETES_SERVICE_HOST")["value"], "127.0.0.1");
    assert_eq!(
        variable("KUBERNETES_SERVICE_PORT")["value"],
        port.to_string()
    );
    assert_eq!(component["ports"].as_array().unwrap().len(), 1);
    let mounts = component["volumeMounts"].as_array().unwrap();
    let mount = mounts
        .iter()
        .find(|mount| mount["name"] == "toll-client")
        .unwrap();
    assert_eq!(
        mount["mountPath"],
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    assert_eq!(mount["readOnly"], true);
    assert_eq!(mounts.len(), 2);
    // Others' flags and labels stay; the proxy comes before virt-handler's own init container.
    assert_eq!(component["command"], json!(["virt-controller", "--v", "5"]));
    assert_eq!(
        workload["spec"]["template"]["metadata"]["labels"]["theirs"],
        "yes"
    );
    let handler = kubevirt.get("DaemonSet", "virt-handler").await;
    let containers = &handler["spec"]["template"]["spec"]["initContainers"];
    let names = [&containers[0]["name"], &containers[1]["name"]];
    assert_eq!(names, ["kubetoll-proxy", "virt-launcher"]);
}

async fn others_are_untouched(kubevirt: &KubeVirt, before: &Value) {
    let now = kubevirt.get("KubeVirt", "kubevirt").await;
    let (now, before) = (
        &now["spec"]["customizeComponents"],
        &before["customizeComponents"],
    );
    let patches = now["patches"].as_array().unwrap();
    assert_eq!(patches.len(), 5, "two of others, three of ours");
    assert_eq!(patches[..2], before["patches"].as_array().unwrap()[..]);
    assert_eq!(now["flags"], before["flags"]);
}

/// The same Role is enough for `status`.
fn the_user_may_also_look(user: &Path) {
    let here = ["--kubevirt-namespace", NAMESPACE];
    let arguments = [&["status", "--window", "0s"], &here[..]].concat();
    let output = run(user, &arguments, 0);
    let text = String::from_utf8_lossy(&output.stdout);
    for component in Component::ALL {
        let name = component.name();
        let words = "1 of 1 pods ready, 5 calls, 0.0/s, sidecar proxy:1";
        assert_line(&text, &format!("  {name:<15}  attached since …Z, {words}"));
    }
}

/// By the command before `crosscheck`.
fn the_token_is_had_as_documented(stage: &Stage) {
    let docs = include_str!("../../../docs/OPERATING.md");
    let mut lines = docs.lines();
    let line = lines.find(|line| line.starts_with("kubectl get secret kubetoll-proxy-tls"));
    let dir = tempfile::tempdir().unwrap();
    let kubectl = stage.kubevirt.cluster.assets().kubectl();
    let line = line
        .unwrap()
        .replacen("kubectl", &kubectl.to_string_lossy(), 1);
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(&dir);
    assert!(
        shell
            .env("KUBECONFIG", &stage.admin)
            .status()
            .unwrap()
            .success()
    );
    let token = std::fs::read_to_string(dir.path().join("token")).unwrap();
    assert_eq!(token.len(), 64);
}

/// Each thing that somebody may change by hand is told; attaching again sets it right.
async fn drift_is_seen(stage: &Stage) {
    let kubevirt = &stage.kubevirt;
    let own = json!({"name": "virt-operator", "env": [
        {"name": "KUBERNETES_SERVICE_HOST", "value": "localhost"},
    ]});
    let led_away = json!({"spec": {"template": {"spec": {"containers": [own]}}}});
    let api = api(&kubevirt.client, NAMESPACE, "Deployment");
    let (params, patch) = (PatchParams::default(), Patch::Strategic(&led_away));
    let operator = api.patch("virt-operator", &params, &patch).await.unwrap();
    let operator = serde_json::to_value(operator).unwrap();
    let drift = stage.drift("virt-operator");
    let changed = "its pod template was changed by hand (environment): attach again";
    assert!(drift.starts_with(changed), "{drift}");
    let again = stage.attach_at_port_of(&operator, &[]);
    assert!(again.status.success());
    assert_eq!(stage.drift("virt-operator"), "");
    let before = kubevirt.get("KubeVirt", "kubevirt").await["spec"].clone();
    let mut patches = before["customizeComponents"]["patches"].clone();
    let ours = patches.as_array_mut().unwrap();
    let at = ours
        .iter()
        .position(|patch| patch["resourceName"] == "virt-handler")
        .unwrap();
    let changed = ours[at]["patch"]
        .as_str()
        .unwrap()
        .replace("proxy:1", "proxy:2");
    ours[at]["patch"] = json!(changed);
    let patch = json!({"spec": {"customizeComponents": {"patches": patches}}});
    kubevirt.merge("KubeVirt", "kubevirt", patch).await;
    let drift = stage.drift("virt-handler");
    let changed = "its patch in the KubeVirt object was changed by hand";
    assert!(drift.starts_with(changed), "{drift}");
    let ours = patches.as_array_mut().unwrap();
    ours.remove(at);
    let patch = json!({"spec": {"customizeComponents": {"patches": patches}}});
    kubevirt.merge("KubeVirt", "kubevirt", patch).await;
    wait::until("virt-handler without a proxy", async || {
        !stage.status_of("virt-handler").attached
    })
    .await;
    stage.attach("virt-handler", &[], 0);
    stage.status(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_led_by_its_kubeconfig_flag_and_a_dry_run_changes_nothing() {
    let spec = json!({"customizeComponents": {"flags": {"api": {"v": "4"}}, "patches": []}});
    let Some(stage) = Stage::set(spec).await else {
        return;
    };
    let kubevirt = &stage.kubevirt;
    let before = kubevirt.specs().await;
    a_dry_run_prints_what_the_api_server_takes(&stage).await;
    our_merge_is_the_api_servers(&stage).await;
    assert_eq!(kubevirt.specs().await, before);
    assert!(!stage.has_objects().await);

    stage.attach("virt-api", &["--mode", "kubeconfig"], 0);
    let api = kubevirt.get("Deployment", "virt-api").await;
    let container = &api["spec"]["template"]["spec"]["containers"][0];
    let command = [
        "virt-api",
        "--kubeconfig",
        "/etc/kubetoll/kubeconfig",
        "--v",
        "4",
    ];
    assert_eq!(container["command"], json!(command));
    assert_eq!(container["args"], json!(["-v", "2"]));
    assert_eq!(container["env"].as_array().unwrap().len(), 1);
    let status = stage.status_of("virt-api");
    assert_eq!(
        (status.mode.as_str(), status.calls),
        ("kubeconfig", Some(CALLS))
    );
    let attached = kubevirt.specs().await;
    let again = stage.attach_at_port_of(&api, &["--mode", "kubeconfig"]);
    assert!(again.status.success());
    assert_eq!(
        kubevirt.specs().await,
        attached,
        "the same patch is left alone"
    );

    // Somebody deletes the Secret: attach says what to do, and detach does it.
    kubevirt.delete("Secret", "kubetoll-proxy-tls").await;
    let said = said(&stage.attach("virt-controller", &[], 1));
    put_back_after(
        &said,
        "the Secret and the ConfigMap of an earlier attach don't belong together: run `kubetoll \
         detach` first",
    );
    assert_eq!(kubevirt.specs().await, attached);
    stage.run(&["detach"], 0);
    kubevirt.settle().await;
    assert_eq!(kubevirt.specs().await, before);
    assert!(!stage.has_objects().await);
}

/// Every object as the API server would take it, by its own validation.
async fn a_dry_run_prints_what_the_api_server_takes(stage: &Stage) {
    let preview = |more: &[&str]| {
        let mut arguments = vec!["attach", "--image", "proxy:1", "--dry-run"];
        arguments.extend(more);
        String::from_utf8(stage.run(&arguments, 0).stdout).unwrap()
    };
    let text = preview(&[]);
    assert_line(&text, "patch of virt-controller:");
    assert!(!text.contains("tls.key: "), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("objects.yaml");
    std::fs::write(&file, preview(&["--output", "yaml"])).unwrap();
    let applied = Command::new(stage.kubevirt.cluster.assets().kubectl())
        .arg("--kubeconfig")
        .arg(&stage.admin)
        .args([
            "apply",
            "--dry-run=server",
            "--validate=strict",
            "-o",
            "name",
            "-f",
        ])
        .arg(&file)
        .output()
        .unwrap();
    assert!(applied.status.success(), "{}", said(&applied));
    let names = String::from_utf8(applied.stdout).unwrap();
    let expected = "secret/kubetoll-proxy-tls\nconfigmap/kubetoll-proxy-ca\n\
        deployment.apps/virt-operator\nkubevirt.kubevirt.io/kubevirt\n";
    assert_eq!(names, expected);
}

/// virt-operator's template is put together here; KubeVirt's other components by the API server.
async fn our_merge_is_the_api_servers(stage: &Stage) {
    let spec = ProxySpec {
        image: "proxy:1".to_owned(),
        mode: Mode::Sidecar,
        port: PORT,
        recorder: 0,
        attached_at: jiff::Timestamp::now(),
    };
    let patch = install::patch::patch(Component::VirtOperator, &spec);
    let api = api(&stage.kubevirt.client, NAMESPACE, "Deployment");
    let params = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let strategic = Patch::Strategic(&patch);
    let theirs = api.patch("virt-operator", &params, &strategic).await;
    let theirs = theirs.unwrap();
    let mut ours = api.get("virt-operator").await.unwrap();
    let template = &ours.data["spec"]["template"];
    ours.data["spec"]["template"] =
        install::template::attached(template, Component::VirtOperator, &patch);
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let ours = api.replace("virt-operator", &params, &ours).await.unwrap();
    assert_eq!(ours.data["spec"], theirs.data["spec"]);
}
