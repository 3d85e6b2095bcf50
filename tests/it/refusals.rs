//! Runs on a cluster that can't succeed: each says why and what to do, and leaves nothing.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use cluster::kubeconfig::Credential;
use lab::real::RealCluster;

use crate::support::{lines::assert_line, proxy::TestProxy, real};

struct Cluster {
    cluster: RealCluster,
    proxy: TestProxy,
}

impl Cluster {
    async fn start() -> Option<Self> {
        identity::install_provider();
        let cluster = RealCluster::start(real::assets()?, &[]).await.unwrap();
        let proxy = TestProxy::start(&cluster.url(), &cluster.ca_pem()).await;
        Some(Self { cluster, proxy })
    }

    fn kubeconfig(&self, name: &str, token: &str, ca: &str) -> PathBuf {
        let credential = Credential::Token(token.to_owned());
        let url = self.cluster.url();
        self.cluster
            .write_kubeconfig_for(name, &url, ca, &credential)
            .unwrap()
    }

    fn command(&self, kubeconfig: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubetoll"));
        command
            .args([
                "run",
                "vmi",
                "--count",
                "2",
                "--baseline",
                "0s",
                "--no-primer",
            ])
            .args(["--proxy", self.proxy.admin.url(), "--kubeconfig"])
            .arg(kubeconfig)
            .env("KUBETOLL_STORE", crate::support::history::scratch())
            .args(more);
        command
    }

    /// Runs, and gives what was said; the exit code must be `code`.
    fn run(&self, kubeconfig: &Path, more: &[&str], code: i32) -> String {
        let mut command = self.command(kubeconfig, more);
        let output: Output = command
            .args(["--timeout", "3s", "--settle", "1s"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(!said.contains("Bearer"), "{said}");
        said
    }

    fn kubectl(&self, kubeconfig: &Path, arguments: &[&str]) -> String {
        let output = Command::new(self.cluster.assets().kubectl())
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// What a user without any right is told.
const NO_RIGHTS: &str = "
kubetoll: you may not create virtualmachineinstances.kubevirt.io, delete virtualmachineinstances.kubevirt.io, list virtualmachineinstances.kubevirt.io, watch virtualmachineinstances.kubevirt.io, deletecollection virtualmachineinstances.kubevirt.io, list pods, watch pods, create namespaces, delete namespaces; what is missing, as rules of a ClusterRole:
- apiGroups: [kubevirt.io]
  resources: [virtualmachineinstances]
  verbs: [create, delete, list, watch, deletecollection]
- apiGroups: [\"\"]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [\"\"]
  resources: [namespaces]
  verbs: [create, delete]
";

fn last_line(said: &str) -> &str {
    said.lines().next_back().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_says_whose_turn_it_is() {
    let Some(mut one) = Cluster::start().await else {
        return;
    };
    let ca = one.cluster.ca_pem();
    let admin = one.kubeconfig("admin", one.cluster.admin_token(), &ca);
    let said = one.run(&admin, &[], 1);
    assert_eq!(
        last_line(&said),
        "kubetoll: the API server has no virtualmachineinstances (kubevirt.io/v1): KubeVirt is not \
         installed, or too old for this scenario"
    );
    one.cluster.prepare_kubevirt(&[]).await.unwrap();

    let said = one.run(&one.kubeconfig("expired", "expired", &ca), &[], 1);
    assert_eq!(
        last_line(&said),
        "kubetoll: cannot use the API server (the credential is not valid, or has expired): \
         Unauthorized (401)"
    );
    let other_ca = one.proxy.authority.certificate_pem();
    let wrong_ca = one.kubeconfig("wrong-ca", one.cluster.admin_token(), &other_ca);
    let said = one.run(&wrong_ca, &[], 1);
    // What comes behind it is the TLS library's.
    let advice = "kubetoll: cannot use the API server (is the cluster running, and is this its \
                  address and CA?): ";
    assert!(last_line(&said).starts_with(advice), "{said}");

    one.kubectl(&admin, &["create", "serviceaccount", "nobody"]);
    let token = one.kubectl(&admin, &["create", "token", "nobody"]);
    let said = one.run(&one.kubeconfig("nobody", &token, &ca), &[], 1);
    assert!(said.ends_with(NO_RIGHTS), "{said}");
    let rights = "create clusterrole runner --verb=create,delete,list,watch,deletecollection \
                  --resource=virtualmachineinstances.kubevirt.io,pods,namespaces";
    one.kubectl(&admin, &rights.split_whitespace().collect::<Vec<_>>());
    let bind =
        "create clusterrolebinding runner --clusterrole runner --serviceaccount default:nobody";
    one.kubectl(&admin, &bind.split(' ').collect::<Vec<_>>());

    // Nobody runs VMIs here: the run gives up, cleans up, and is kept.
    let said = one.run(&admin, &[], 1);
    let gave_up = "kubetoll: only 0 of 2 VMIs were Running after 3 s; 2 in no phase";
    assert!(said.lines().any(|line| line == gave_up), "{said}");
    assert!(last_line(&said).starts_with("kept as run-"), "{said}");
    a_bill_needs_no_right_that_nobody_asked_for(&one, &one.kubeconfig("runner", &token, &ca));
    foreign_objects(&one, &admin);
    let namespaces = one.kubectl(
        &admin,
        &[
            "get",
            "namespaces",
            "-l",
            "kubetoll.dev/run",
            "-o",
            "jsonpath={.items[*].status.phase}",
        ],
    );
    // A namespace goes when its controller, which this control plane doesn't have, lets it go.
    assert!(
        namespaces.split(' ').all(|phase| phase == "Terminating"),
        "{namespaces}"
    );
    api_server_dies(&mut one, &admin).await;
    one.proxy.stop().await;
}

fn a_bill_needs_no_right_that_nobody_asked_for(one: &Cluster, runner: &Path) {
    const UNKNOWN: &str = "kubetoll: what the API server took is not known: ";
    let said = one.run(runner, &[], 1);
    let gave_up = "kubetoll: only 0 of 2 VMIs were Running after 3 s; …";
    assert_line(&said, gave_up);
    assert!(!said.contains(UNKNOWN), "{said}");
    let said = one.run(runner, &["--prices", "default"], 1);
    assert_line(&said, gave_up);
    let forbidden = "/metrics of the API server is answered 403: reading it takes the right to get \
                     the path /metrics";
    assert_line(&said, &format!("{UNKNOWN}{forbidden}"));
}

fn foreign_objects(one: &Cluster, admin: &Path) {
    let vmi = r#"{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "theirs", "namespace": "default"}}"#;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("vmi.json");
    std::fs::write(&file, vmi).unwrap();
    one.kubectl(admin, &["apply", "-f", file.to_str().unwrap()]);
    let said = one.run(admin, &["--namespace", "default"], 1);
    assert_eq!(
        last_line(&said),
        "kubetoll: namespace default has 1 virtualmachineinstances already: choose an empty one"
    );
    let left = one.kubectl(admin, &["get", "vmi", "-n", "default", "-o", "name"]);
    assert!(left.contains("theirs"), "a foreign object was deleted");
}

async fn api_server_dies(one: &mut Cluster, admin: &Path) {
    let mut command = one.command(admin, &["--timeout", "60s"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The run is waiting for VMIs that nobody starts.
    let api = one.cluster.admin_client().unwrap();
    let vmis = driver::client::resource(driver::workload::VMI);
    let vmis: kube::Api<kube::api::DynamicObject> = kube::Api::all_with(api, &vmis);
    while vmis
        .list(&kube::api::ListParams::default())
        .await
        .unwrap()
        .items
        .len()
        < 3
    {
        assert!(child.try_wait().unwrap().is_none(), "the run ended early");
    }
    one.cluster.kill_apiserver().await;
    let interrupted = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // The run may have failed by itself before the signal came.
    assert!(matches!(output.status.code(), Some(1 | 130)), "{said}");
    // Why they are is in words of the libraries.
    let left = "objects of run-… are left in namespace kubetoll-run-…: ServiceError: …";
    assert_line(&said, &format!("kubetoll: …; {left}"));
}
