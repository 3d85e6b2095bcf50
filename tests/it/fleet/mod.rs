//! `kubetoll run` and `kubetoll measure` with the proxies that `kubetoll attach` put into a KubeVirt
//! with three nodes. The API server, its access rules, pod proxy and port-forward, the kubelet's
//! streaming library and all proxies are real; support/kubevirt says what is played.

mod changes;
mod density;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use cluster::kubeconfig::Credential;
use kube::{Client, Config, api::ListParams};
use record::RunResult;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::support::{
    history,
    kubevirt::{KubeVirt, NAMESPACE, api, free_ports, kubetoll},
    podserver::PodServer,
};

/// Nodes, each with a virt-handler.
const NODES: usize = 3;

/// virt-controller and virt-handler are attached; virt-api and virt-operator are not.
struct Stage {
    kubevirt: KubeVirt,
    kubelet: PodServer,
    admin: PathBuf,
    dir: TempDir,
}

impl Stage {
    async fn set(components: &[&str]) -> Option<Self> {
        let kubelet = PodServer::start(&["-kubelet"]).await?;
        let spec = json!({"customizeComponents": {}});
        let kubevirt = KubeVirt::install_on(spec, NODES).await?;
        kubevirt.settle().await;
        let token = kubevirt.cluster.admin_token().to_owned();
        let stage = Self {
            admin: kubeconfig(&kubevirt, "admin", token),
            kubevirt,
            kubelet,
            dir: tempfile::tempdir().unwrap(),
        };
        for component in components {
            let port = free_ports().to_string();
            let arguments = [
                "attach",
                "--image",
                "proxy:1",
                "--timeout",
                "60s",
                "--component",
                component,
                "--port",
                &port,
            ];
            let attached = kubetoll(&stage.admin, &arguments);
            assert_eq!(attached.status.code(), Some(0), "{}", said(&attached));
        }
        stage.kubevirt.settle().await;
        Some(stage)
    }

    /// `kubetoll` that keeps its history apart.
    fn command(&self, user: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubetoll"));
        command
            .args(arguments)
            .arg("--kubeconfig")
            .arg(user)
            .env("KUBETOLL_STORE", history::scratch());
        command
    }

    /// `kubetoll measure` around nothing.
    fn measure(&self, user: &Path, more: &[&str], code: i32) -> String {
        let mut command = self.command(user, &["measure", "--settle", "0s"]);
        let output = command.args(more).args(["--", "true"]).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {said}");
        said
    }

    /// `kubetoll measure` around a command that runs until it is told to end.
    async fn begin(&self, more: &[&str]) -> Measuring {
        let (began, go) = (self.dir.path().join("began"), self.dir.path().join("go"));
        let _ = std::fs::remove_file(&began);
        let _ = std::fs::remove_file(&go);
        let script = "touch \"$0\"; while [ ! -e \"$1\" ]; do sleep 0.05; done";
        let arguments = ["measure", "--settle", "0s", "--output", "json"];
        let mut child = self
            .command(&self.admin, &arguments)
            .args(more)
            .args(["--", "sh", "-c", script])
            .args([&began, &go])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while !began.exists() {
            if child.try_wait().unwrap().is_some() {
                let output = child.wait_with_output().unwrap();
                panic!("it did not begin: {}", said(&output));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Measuring { child, go }
    }

    /// A client of the API server through a pod's proxy, as its component has one.
    async fn through(&self, pod: &Value, token: &str) -> Client {
        let port = &pod["spec"]["initContainers"][0]["ports"][0]["containerPort"];
        let maps = api(&self.kubevirt.client, NAMESPACE, "ConfigMap");
        let map = maps.get("kubetoll-proxy-ca").await.unwrap();
        let ca = map.data["data"]["ca.crt"].as_str().unwrap().as_bytes();
        let ca = CertificateDer::from_pem_slice(ca).unwrap();
        let mut config = Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
        config.root_cert = Some(vec![ca.to_vec()]);
        config.auth_info.token = Some(token.to_owned().into());
        Client::try_from(config).unwrap()
    }

    /// So many lists of ConfigMaps through a pod's proxy.
    async fn call(&self, pod: &Value, count: u64) {
        let token = self.kubevirt.cluster.admin_token();
        let client = self.through(pod, token).await;
        for _ in 0..count {
            let maps = api(&client, NAMESPACE, "ConfigMap");
            maps.list(&ListParams::default()).await.unwrap();
        }
    }
}

/// A measurement under way.
struct Measuring {
    child: Child,
    go: PathBuf,
}

impl Measuring {
    /// Lets the command end.
    fn end(self, code: i32) -> (String, Option<RunResult>) {
        std::fs::write(&self.go, "").unwrap();
        let output = self.child.wait_with_output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        (said, serde_json::from_slice(&output.stdout).ok())
    }
}

fn kubeconfig(kubevirt: &KubeVirt, name: &str, token: String) -> PathBuf {
    let cluster = &kubevirt.cluster;
    let (url, ca) = (cluster.url(), cluster.ca_pem());
    cluster
        .write_kubeconfig_for(name, &url, &ca, &Credential::Token(token))
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap()
}
