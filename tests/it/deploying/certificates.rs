//! The recipes of certs/README.md, as they stand there, on a real kube-apiserver.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    cluster::{Cluster, root},
    fed, output,
};
use crate::support::{process::ProxyProcess, real};

/// kube-controller-manager's signer of kubelet-serving certificates.
struct Signer(Child);

impl Signer {
    fn start(cluster: &Cluster, pki: &Path) -> Self {
        let program = real::program("signer").unwrap();
        let mut command = Command::new(program);
        command.arg("-kubeconfig").arg(cluster.kubeconfig());
        command.arg("-ca").arg(pki.join("ca.crt"));
        command.arg("-ca-key").arg(pki.join("ca.key"));
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The commands below each heading.
fn recipes() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("certs/README.md")).unwrap();
    let parts = text.split("\n## ").skip(1);
    let recipes = parts.filter_map(|part| {
        let (heading, rest) = part.split_once('\n')?;
        let (_, rest) = rest.split_once("```sh\n")?;
        let (commands, _) = rest.split_once("```")?;
        Some((heading.to_owned(), commands.to_owned()))
    });
    recipes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_recipe_makes_a_certificate_that_a_proxy_serves_with() {
    let dir = tempfile::tempdir().unwrap();
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let pki = dir.path().join("pki");
    fs::create_dir(&pki).unwrap();
    let authority = cluster.authority();
    fs::write(pki.join("ca.crt"), authority.certificate_pem()).unwrap();
    fs::write(pki.join("ca.key"), authority.key_pem()).unwrap();
    publish_ca(&cluster);
    let _signer = Signer::start(&cluster, &pki);
    let recipes = recipes();
    let headings: Vec<&str> = recipes
        .iter()
        .map(|(heading, _)| heading.as_str())
        .collect();
    assert_eq!(
        headings,
        [
            "A CA of your own",
            "The cluster's CA",
            "A certificate request",
            "Rotation"
        ]
    );
    for (heading, commands) in &recipes {
        let commands = commands.replace("/etc/kubernetes/pki", &pki.display().to_string());
        // Rotation takes what an earlier recipe has made.
        if heading != "Rotation" {
            let mut delete = cluster.kubectl();
            delete.args([
                "delete",
                "secret",
                "kubetoll-proxy-serving",
                "-n",
                "kubevirt",
            ]);
            output(delete.arg("--ignore-not-found"));
        }
        let folder = dir.path().join(heading);
        fs::create_dir(&folder).unwrap();
        cluster.follow(&folder, &commands);
        serves(&cluster, &folder);
    }
}

/// As kube-controller-manager does.
fn publish_ca(cluster: &Cluster) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kube-root-ca.crt", "namespace": "kubevirt"},
        "data": {"ca.crt": cluster.authority().certificate_pem()}});
    let created = fed(
        cluster.kubectl().args(["create", "-f", "-"]),
        &map.to_string(),
    );
    assert!(created.status.success());
}

/// A proxy starts with what is in the Secret now.
fn serves(cluster: &Cluster, folder: &Path) {
    let mut get = cluster.kubectl();
    get.args([
        "get",
        "secret",
        "kubetoll-proxy-serving",
        "-n",
        "kubevirt",
        "-o",
        "json",
    ]);
    let secret: Value = serde_json::from_str(&output(&mut get)).unwrap();
    for name in ["tls.crt", "tls.key"] {
        let data = secret["data"][name].as_str().unwrap();
        let mut base64 = Command::new("base64");
        let decoded = fed(base64.arg("--decode"), data).stdout;
        fs::write(folder.join(name), decoded).unwrap();
    }
    let ca = folder.join("upstream.crt");
    fs::write(&ca, cluster.authority().certificate_pem()).unwrap();
    let ca = ca.display().to_string();
    ProxyProcess::launch(
        folder,
        &["--upstream", &cluster.url(), "--upstream-ca", &ca],
    );
}
