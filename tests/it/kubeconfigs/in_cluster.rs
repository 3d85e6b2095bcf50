//! Where there is no kubeconfig but a service account's files and two variables, as in a pod. The
//! files are where they are in a pod, in a mount namespace of the command's own, for which nobody
//! needs to be root.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::stage::{Case, NAME, Stage};
use crate::support::skip;

/// Runs a command with the files of a folder as its service account.
const IN_POD: &str = "mount -t tmpfs pod /var/run && account=/var/run/secrets/kubernetes.io/serviceaccount \
    && mkdir -p $account && cp \"$0\"/* $account && exec \"$@\"";
const NAMESPACED: [&str; 2] = ["--user", "--map-root-user"];

/// Whether who runs this may have a mount namespace.
fn may_mount() -> bool {
    let mut unshare = Command::new("unshare");
    let mount = ["--mount", "mount", "-t", "tmpfs", "pod", "/var/run"];
    let tried = unshare.args(NAMESPACED).args(mount).output();
    tried.is_ok_and(|output| output.status.success())
}

/// What a pod's service account has, for the admin in the namespace `dev`.
fn account(stage: &Stage, case: &Case) -> PathBuf {
    let folder = case.folder.join("account");
    std::fs::create_dir(&folder).unwrap();
    for (name, content) in [
        ("token", stage.cluster.admin_token().to_owned()),
        ("ca.crt", stage.cluster.ca_pem()),
        ("namespace", "dev".to_owned()),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    folder
}

fn in_pod(case: &Case, account: &Path, command: &[&str]) -> Output {
    let mut pod = case.command("unshare");
    pod.args(NAMESPACED).args(["--mount", "sh", "-c", IN_POD]);
    pod.arg(account).args(command).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_reaches_its_cluster_through_https_proxy_as_kubectl_does() {
    if !may_mount() {
        skip::because("who runs this may have no mount namespace");
        return;
    }
    let Some(stage) = Stage::set().await else {
        return;
    };
    let mut case = Case::new(&stage, "pod");
    let (account, tunnels) = (account(&stage, &case), stage.tunnels().await);
    let url = stage.cluster.url();
    let port = url.rsplit(':').next().unwrap();
    case.set("KUBERNETES_SERVICE_HOST", NAME);
    case.set("KUBERNETES_SERVICE_PORT", port);
    let create = "create configmap made --dry-run=server -o jsonpath={.metadata.namespace}";
    let kubectl: Vec<&str> = [&*stage.kubectl]
        .into_iter()
        .chain(create.split(' '))
        .collect();
    let exec = [env!("CARGO_BIN_EXE_kubetoll"), "exec", "--no-store", "--"];
    let exec = [&exec[..], &kubectl].concat();
    // Nobody but the proxy knows the name.
    assert!(!in_pod(&case, &account, &exec).status.success());
    case.set(
        "HTTPS_PROXY",
        format!("http://127.0.0.1:{}", tunnels.connect),
    );
    for command in [&kubectl, &exec] {
        let output = in_pod(&case, &account, command);
        let made = String::from_utf8_lossy(&output.stdout);
        assert_eq!(made, "dev", "{output:?}");
        let asked = tunnels.take();
        assert_eq!(asked, [format!("http {NAME}:{port} ")], "{command:?}");
    }
}
