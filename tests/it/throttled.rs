//! Requests that a real kube-apiserver answers 429, and by which of its flow schemas.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cluster::kubeconfig::Credential;
use lab::real::RealCluster;
use record::{Outcome, RunRecord, StatusRecord};

use crate::support::{history, real, wait};

/// A priority level that lets one request through at a time, and lists of ConfigMaps in it; one group
/// that may do all, and one that may do nothing else.
const OBJECTS: &str = r#"
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: one-at-a-time}
spec:
  type: Limited
  limited:
    nominalConcurrencyShares: 0
    lendablePercent: 0
    borrowingLimitPercent: 0
    limitResponse: {type: Reject}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: lists-of-configmaps}
spec:
  priorityLevelConfiguration: {name: one-at-a-time}
  matchingPrecedence: 2
  rules:
  - subjects:
    - {kind: Group, group: {name: all}}
    - {kind: Group, group: {name: few}}
    resourceRules:
    - {verbs: [list], apiGroups: [""], resources: [configmaps], namespaces: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: all}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: all}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: few}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: few}]
"#;

/// Lists of so much that two of them meet.
const LISTS: &str = r#"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
  "$KUBECTL" get --raw /api/v1/namespaces/default/configmaps >/dev/null &
done
wait
"#;

struct Stage {
    cluster: RealCluster,
    dir: tempfile::TempDir,
}

impl Stage {
    fn kubeconfig(&self, user: &str, group: &str) -> PathBuf {
        let leaf = self.cluster.authority().client(user, group).unwrap();
        let credential = Credential::Certificate {
            certificate_pem: leaf.certificate_pem,
            key_pem: leaf.key_pem,
        };
        let (url, ca) = (self.cluster.url(), self.cluster.ca_pem());
        self.cluster
            .write_kubeconfig_for(user, &url, &ca, &credential)
            .unwrap()
    }

    fn kubectl(&self, kubeconfig: &Path, arguments: &[&str]) -> Output {
        let mut kubectl = Command::new(self.cluster.assets().kubectl());
        kubectl.arg("--kubeconfig").arg(kubeconfig).args(arguments);
        kubectl.output().unwrap()
    }

    /// Lists ConfigMaps under `exec` until some of them are throttled; gives what it says, and its
    /// record.
    async fn lists(&self, kubeconfig: &Path) -> (String, RunRecord) {
        let mut found = None;
        wait::until("a 429", async || {
            let (said, record) = self.list(kubeconfig);
            let is_throttled = record.rows().any(|row| row.outcome == Outcome::Code(429));
            found = is_throttled.then_some((said, record));
            is_throttled
        })
        .await;
        found.unwrap()
    }

    fn list(&self, kubeconfig: &Path) -> (String, RunRecord) {
        let results = self.dir.path().join("results");
        let output = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
            .args(["exec", "--no-store", "--kubeconfig"])
            .arg(kubeconfig)
            .arg("--results-dir")
            .arg(&results)
            .args(["--", "sh", "-c", LISTS])
            .env("KUBECTL", self.cluster.assets().kubectl())
            .env("KUBETOLL_STORE", history::scratch())
            .output()
            .unwrap();
        let record = std::fs::read(results.join("record.json")).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (said, serde_json::from_slice(&record).unwrap())
    }
}

/// What is known of the first 429.
fn throttled(record: &RunRecord) -> &StatusRecord {
    let proxy = &record.proxies[0];
    let mut rows = proxy.difference.iter();
    let row = rows.find(|row| row.outcome == Outcome::Code(429)).unwrap();
    let mut lines = proxy.closed.journal.iter();
    let line = lines.find(|line| line.row == row.id).unwrap();
    line.failure.as_deref().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_names_its_flow_schema_where_the_user_may_list_them() {
    identity::install_provider();
    let Some(assets) = real::assets() else {
        return;
    };
    let stage = Stage {
        cluster: RealCluster::start(assets, &[]).await.unwrap(),
        dir: tempfile::tempdir().unwrap(),
    };
    let objects = stage.dir.path().join("objects.yaml");
    std::fs::write(&objects, OBJECTS).unwrap();
    let admin = stage.kubeconfig("admin", "system:masters");
    let applied = stage.kubectl(&admin, &["apply", "-f", objects.to_str().unwrap()]);
    assert!(applied.status.success(), "{applied:?}");
    let large = stage.dir.path().join("large");
    std::fs::write(&large, "x".repeat(900_000)).unwrap();
    for number in 0..12 {
        let name = format!("large-{number}");
        let from = format!("--from-file={}", large.display());
        let created = stage.kubectl(&admin, &["create", "configmap", &name, &from]);
        assert!(created.status.success(), "{created:?}");
    }
    let (all, few) = (
        stage.kubeconfig("ann", "all"),
        stage.kubeconfig("bob", "few"),
    );
    let (said, record) = stage.lists(&all).await;
    let status = throttled(&record);
    assert_eq!(
        (&*status.flow_schema_name, &*status.priority_level_name),
        ("lists-of-configmaps", "one-at-a-time"),
        "{said}"
    );
    let lists: Vec<_> = record
        .driver
        .iter()
        .map(|call| (&*call.resource, call.count))
        .collect();
    assert_eq!(
        lists,
        [("flowschemas", 1), ("prioritylevelconfigurations", 1)]
    );
    let requests = findings::requests(&record);
    let found = findings::findings(&requests, None);
    let by = ", by flow schema lists-of-configmaps at priority level one-at-a-time;";
    assert!(
        found.iter().any(|one| one.detail.contains(by)),
        "{found:#?}"
    );

    let (said, record) = stage.lists(&few).await;
    let status = throttled(&record);
    assert_eq!(status.flow_schema_name, "", "{said}");
    assert_eq!(
        status.flow_schema.len(),
        36,
        "a UID: {}",
        status.flow_schema
    );
    let why = "of requests that were answered 429, flow schema and priority level have no name: ";
    assert!(said.contains(why) && said.contains("forbidden"), "{said}");
}
