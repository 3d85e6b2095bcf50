//! Each object against a real API server: server-side dry run, and kubeconform with its schemas.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cluster::kubeconfig::Credential;
use identity::mint::Authority;
use lab::real::RealCluster;
use serde_json::{Value, json};

use super::{documents, everything, fed, output, pod_template, schemas};
use crate::support::real;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A real API server with the namespace `kubevirt`, in which pods must be restricted.
pub struct Cluster {
    cluster: RealCluster,
    kubeconfig: PathBuf,
}

impl Cluster {
    pub async fn start() -> Option<Self> {
        identity::install_provider();
        let cluster = RealCluster::start(real::assets()?, &[]).await.unwrap();
        let admin = Credential::Token(cluster.admin_token().to_owned());
        let (url, ca) = (cluster.url(), cluster.ca_pem());
        let kubeconfig = cluster.write_kubeconfig_for("deploying", &url, &ca, &admin);
        let started = Self {
            kubeconfig: kubeconfig.unwrap(),
            cluster,
        };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": "kubevirt",
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        }});
        let mut create = started.kubectl();
        let created = fed(create.args(["create", "-f", "-"]), &namespace.to_string());
        assert!(created.status.success());
        Some(started)
    }

    pub fn authority(&self) -> &Authority {
        self.cluster.authority()
    }

    pub fn url(&self) -> String {
        self.cluster.url()
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs commands of a document, as an administrator has them, in a folder.
    pub fn follow(&self, folder: &Path, commands: &str) {
        let kubectl = self.cluster.assets().kubectl();
        let programs = [kubectl, env!("CARGO_BIN_EXE_kubetoll").into()];
        let mut path = env::var("PATH").unwrap();
        for folder in programs.iter().filter_map(|program| program.parent()) {
            path = format!("{}:{path}", folder.display());
        }
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", commands]);
        bash.current_dir(folder);
        bash.env("PATH", path).env("KUBECONFIG", &self.kubeconfig);
        output(&mut bash);
    }

    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.cluster.assets().kubectl());
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command
    }

    /// Makes the kinds that the manifests use, out of their projects' modules.
    fn define_kinds(&self, folder: &Path) {
        let script = root().join("tests/real/crds");
        let status = Command::new(script).arg(folder).status().unwrap();
        assert!(status.success());
        let mut apply = self.kubectl();
        output(apply.args(["apply", "--server-side", "-f"]).arg(folder));
        let mut wait = self.kubectl();
        output(wait.args(["wait", "--for=condition=Established", "crd", "--all"]));
    }

    /// A dry run on the server, in which unknown fields are errors.
    fn dry_run(&self, manifest: &str) -> Output {
        let mut kubectl = self.kubectl();
        kubectl.args(["apply", "--server-side", "--dry-run=server"]);
        fed(kubectl.args(["--validate=strict", "-f", "-"]), manifest)
    }

    fn takes(&self, manifest: &str) {
        let taken = self.dry_run(manifest);
        let said = String::from_utf8_lossy(&taken.stderr).into_owned();
        assert!(taken.status.success(), "{said}\n{manifest}");
        assert_eq!(said, "", "a warning");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notes_say_what_the_pods_wait_for() {
    let Some(helm) = real::program("helm") else {
        return;
    };
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let notes = |settings: &str| {
        let mut helm = Command::new(&helm);
        helm.args([
            "install",
            "kubetoll",
            "--dry-run=client",
            "--namespace",
            "kubevirt",
        ]);
        helm.arg("--kubeconfig").arg(cluster.kubeconfig());
        helm.args(["--set", settings])
            .arg(root().join("deploy/chart"));
        let shown = output(&mut helm);
        shown.split_once("\nNOTES:\n").unwrap().1.to_owned()
    };
    let own = notes("runs.enabled=true");
    for line in [
        "- kubetoll-proxy-serving (tls.crt, tls.key): certs/README.md of Kubetoll says for which names;",
        "- kubetoll-proxy-admin (token):",
        "    kubectl create job --namespace kubevirt --from=cronjob/kubetoll-runs kubetoll-runs-first",
    ] {
        assert!(own.lines().any(|one| one == line), "{own}");
    }
    let runs = notes("proxy.enabled=false,runs.enabled=true");
    let line = "It needs proxies that `kubetoll attach` has put into the KubeVirt of kubevirt, and their Secret";
    assert!(runs.lines().any(|one| one == line), "{runs}");
    assert!(!runs.contains("kubetoll-proxy-admin"), "{runs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server_takes_every_object_and_restricted_pods() {
    let Some(manifests) = everything() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.define_kinds(&dir.path().join("crds"));
    for manifest in &manifests {
        cluster.takes(manifest);
    }
    let objects: Vec<Value> = manifests.iter().flat_map(|text| documents(text)).collect();
    let pods: Vec<String> = objects
        .iter()
        .filter_map(pod_template)
        .enumerate()
        .map(|(number, template)| pod(template, number).to_string())
        .collect();
    assert!(pods.len() >= 6, "{}", pods.len());
    cluster.takes(&pods.join("\n---\n"));
    let misspelt = manifests[0].replace("replicas:", "replica:");
    assert!(!cluster.dry_run(&misspelt).status.success());
    let privileged = manifests[0].replace("runAsNonRoot: true", "runAsNonRoot: false");
    let privileged = documents(&privileged);
    let template = privileged.iter().find_map(pod_template).unwrap();
    let refused = cluster.dry_run(&pod(template, 0).to_string());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("violates PodSecurity"));
    let kinds = objects.iter().filter_map(|object| object["kind"].as_str());
    let kinds = kinds.map(str::to_lowercase).collect();
    conform(&cluster, &kinds, &manifests, dir.path());
    recipes(&cluster);
}

/// A pod of a template: admission looks at pods, not at what makes them.
fn pod(template: &Value, number: usize) -> Value {
    let mut pod = template.clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!(format!("of-a-template-{number}"));
    pod["metadata"]["namespace"] = json!("kubevirt");
    pod
}

/// kubeconform, with schemas of this very API server.
fn conform(cluster: &Cluster, kinds: &BTreeSet<String>, manifests: &[String], dir: &Path) {
    let folder = dir.join("schemas");
    fs::create_dir(&folder).unwrap();
    let get = |path: &str| output(cluster.kubectl().args(["get", "--raw", path]));
    schemas::write(&folder, kinds, get);
    let kubeconform = real::program("kubeconform").unwrap();
    let check = |manifest: &str| {
        let location = "{{.Group}}-{{.ResourceAPIVersion}}-{{.ResourceKind}}.json";
        let location = folder.join(location);
        let mut kubeconform = Command::new(&kubeconform);
        kubeconform.args(["-strict", "-summary", "-schema-location"]);
        fed(kubeconform.arg(location).arg("-"), manifest)
    };
    for manifest in manifests {
        let checked = check(manifest);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(checked.status.success(), "{said}");
        assert!(said.contains("Skipped: 0"), "{said}");
    }
    for (right, wrong) in [
        ("replicas: 2", "replicas: two"),
        ("replicas:", "replica:"),
        ("containerPort:", "containerport:"),
    ] {
        let checked = check(&manifests[0].replace(right, wrong));
        assert!(!checked.status.success(), "{wrong} is not noticed");
    }
}

/// The manifests in the documents, and the commands of deploy/README.md.
fn recipes(cluster: &Cluster) {
    for document in ["certs/README.md", "deploy/README.md"] {
        let manifests = blocks(document, "yaml");
        assert!(!manifests.is_empty(), "no manifest in {document}");
        manifests
            .iter()
            .for_each(|manifest| cluster.takes(manifest));
    }
    let commands = blocks("deploy/README.md", "sh");
    assert!(commands.len() >= 4, "{commands:?}");
    for commands in commands {
        cluster.follow(root(), &commands);
    }
}

/// The blocks of a language in a document.
pub fn blocks(document: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let begin = format!("```{language}\n");
    let blocks = text.split(&begin).skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    blocks.map(str::to_owned).collect()
}
