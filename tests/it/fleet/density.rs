//! A density run with attached proxies, by a user who may do what `kubetoll rbac run` prints and
//! nothing else.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use cluster::rights::{Rule, missing};
use kube::{
    Client,
    api::{Patch, PatchParams},
};
use lab::simulation::{Identity, Simulation};
use record::RunResult;
use serde_json::{Value, json};

use super::{NODES, Stage, kubeconfig, said};
use crate::support::{
    kubevirt::{NAMESPACE, api, create},
    lines::assert_line,
    wait,
};

/// What the user does; the namespace is there for them.
const RUN: [&str; 12] = [
    "run",
    "instancetype",
    "--count",
    "3",
    "--pause",
    "0ms",
    "--settle",
    "1s",
    "--baseline",
    "0s",
    "--proxy-via",
    "port-forward",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_printed_rights_runs_and_one_with_less_is_told_which_is_missing() {
    let components = ["virt-controller", "virt-handler", "virt-api"];
    let Some(stage) = Stage::set(&components).await else {
        return;
    };
    let simulation = simulate(&stage).await;
    stage.kubevirt.use_kubelet(NODES, &stage.kubelet).await;
    let user = User::new(&stage).await;
    runs(&stage, &user.kubeconfig);
    each_missing_rule_is_named(&stage, &user).await;
    simulation.stop().await;
}

/// KubeVirt's components behind the proxies of their pods, each virt-handler behind its own; the
/// others have none.
async fn simulate(stage: &Stage) -> Simulation {
    let kubevirt = &stage.kubevirt;
    let mut clients = Vec::new();
    for (component, account) in [
        ("virt-controller", "kubevirt-controller"),
        ("virt-api", "kubevirt-apiserver"),
        ("virt-handler", "kubevirt-handler"),
    ] {
        let token = &kubevirt.tokens[&(NAMESPACE.to_owned(), account.to_owned())];
        for pod in kubevirt.pods_of(component).await {
            clients.push((component, stage.through(&pod, token).await));
        }
    }
    let next = AtomicUsize::new(0);
    let connect = |identity: &Identity| -> kube::Result<Client> {
        let own: Vec<&Client> = clients
            .iter()
            .filter(|(component, _)| *component == identity.program)
            .map(|(_, client)| client)
            .collect();
        if own.is_empty() {
            return Ok(kubevirt.client.clone());
        }
        let number = next.fetch_add(1, Ordering::Relaxed);
        Ok(own[number % own.len()].clone())
    };
    let simulation = Simulation::start(&kubevirt.client, &connect, None, NODES).await;
    simulation.unwrap()
}

fn runs(stage: &Stage, user: &Path) {
    let results = stage.dir.path().join("results");
    let mut command = stage.command(user, &RUN);
    let output = command
        .args([
            "--kubevirt-namespace",
            NAMESPACE,
            "--output",
            "json",
            "--journal",
        ])
        .arg("--results-dir")
        .arg(&results)
        .output()
        .unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let result: RunResult = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result.proxies.len(), 2 + NODES);
    assert_eq!(result.values["CREATE-pods-count"], 3);
    let by = |component: &str| -> u64 {
        let rows = result.rows.iter().filter(|row| row.component == component);
        rows.map(|row| row.count).sum()
    };
    for component in ["virt-controller", "virt-handler", "virt-api"] {
        assert!(by(component) > 0, "{component}");
    }
    // The way to the books is the driver's own cost: it names it, and no component has it.
    let forwards = result
        .driver
        .iter()
        .filter(|call| call.resource == "pods/portforward");
    let forwards: u64 = forwards.map(|call| call.count).sum();
    assert!(
        forwards >= result.proxies.len() as u64,
        "{:?}",
        result.driver
    );
    assert!(
        !result
            .rows
            .iter()
            .any(|row| row.call.subresource == "portforward")
    );
    // Request by request, the books of all pods are what the API server has logged.
    let verified = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .arg("verify")
        .arg(results.join("record.json"))
        .arg(stage.kubevirt.cluster.audit_log())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&verified.stdout);
    assert_eq!(verified.status.code(), Some(0), "{text}");
}

/// A service account with the Roles that `kubetoll rbac run` prints.
struct User {
    kubeconfig: PathBuf,
    client: Client,
    /// In KubeVirt's namespace, and in all of the cluster.
    roles: [Value; 2],
}

impl User {
    async fn new(stage: &Stage) -> Self {
        let admin = &stage.kubevirt.client;
        let printed = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
            .args(["rbac", "run"])
            .output()
            .unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        let (role, cluster_role) = printed.split_once("---\n").unwrap();
        let parse = |text: &str| -> Value { serde_saphyr::from_str(text).unwrap() };
        let roles = [parse(role), parse(cluster_role)];
        let account = json!({"metadata": {"name": "runner"}});
        create(admin, NAMESPACE, "ServiceAccount", account).await;
        for (role, namespace) in roles.iter().zip([NAMESPACE, ""]) {
            let kind = role["kind"].as_str().unwrap();
            let binding = json!({
                "metadata": {"name": "runner"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io", "kind": kind,
                    "name": role["metadata"]["name"],
                },
                "subjects": [
                    {"kind": "ServiceAccount", "name": "runner", "namespace": NAMESPACE},
                ],
            });
            create(admin, namespace, kind, role.clone()).await;
            create(admin, namespace, &format!("{kind}Binding"), binding).await;
        }
        let cluster = &stage.kubevirt.cluster;
        let token = Command::new(cluster.assets().kubectl())
            .arg("--kubeconfig")
            .arg(&stage.admin)
            .args(["create", "token", "runner", "--namespace", NAMESPACE])
            .output()
            .unwrap();
        let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
        Self {
            client: cluster.client(&cluster.url(), &token).unwrap(),
            kubeconfig: kubeconfig(&stage.kubevirt, "runner", token),
            roles,
        }
    }

    /// Gives one of the roles these rules.
    async fn give(&self, stage: &Stage, at: usize, rules: &Value) {
        let role = &self.roles[at];
        let kind = role["kind"].as_str().unwrap();
        let roles = api(&stage.kubevirt.client, [NAMESPACE, ""][at], kind);
        let patch = Patch::Merge(json!({"rules": rules}));
        let name = role["metadata"]["name"].as_str().unwrap();
        roles
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Waits until the API server goes by the roles.
    async fn wait(&self, at: usize, rule: &Rule, is_missing: bool) {
        let namespace = (at == 0).then_some(NAMESPACE);
        let rules = std::slice::from_ref(rule);
        let what = format!("{rule}: {}", if is_missing { "missing" } else { "there" });
        wait::until(&what, async || {
            let missing = missing(&self.client, namespace, rules).await.unwrap();
            missing.is_some() == is_missing
        })
        .await;
    }

    /// Takes a right away: a ClusterRole would give it in KubeVirt's namespace too.
    async fn take(&self, stage: &Stage, at: usize, rule: &Rule) {
        for from in at..=1 {
            let rules = without(&self.roles[from]["rules"], rule);
            self.give(stage, from, &rules).await;
        }
        self.wait(at, rule, true).await;
    }

    async fn give_all(&self, stage: &Stage, at: usize, rule: &Rule) {
        for to in at..=1 {
            self.give(stage, to, &self.roles[to]["rules"]).await;
        }
        self.wait(at, rule, false).await;
    }
}

/// One verb on one resource after the other is taken away.
async fn each_missing_rule_is_named(stage: &Stage, user: &User) {
    const FLOW_CONTROL: &str = "flowcontrol.apiserver.k8s.io";
    // Other scenarios need these, and a run that fails, doesn't fit or is throttled.
    let unused = [
        Rule::new("create", "kubevirt.io", "virtualmachineinstances"),
        Rule::new("delete", "kubevirt.io", "virtualmachineinstances"),
        Rule::new("list", "", "events"),
        Rule::new("list", "", "nodes"),
        Rule::new("list", FLOW_CONTROL, "flowschemas"),
        Rule::new("list", FLOW_CONTROL, "prioritylevelconfigurations"),
    ];
    let mut tried = 0;
    for (at, role) in user.roles.iter().enumerate() {
        let kind = [
            format!("Role in namespace {NAMESPACE}"),
            "ClusterRole".to_owned(),
        ][at]
            .clone();
        let mut rights = rights_of(&role["rules"]);
        rights.retain(|rule| !unused.contains(rule));
        for rule in rights {
            user.take(stage, at, &rule).await;
            let mut command = stage.command(&user.kubeconfig, &RUN);
            let output = command
                .args(["--kubevirt-namespace", NAMESPACE])
                .output()
                .unwrap();
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "without {rule}: {said}");
            let named = format!("…you may not {rule}; what is missing, as rules of a {kind}:");
            assert_line(&said, &named);
            assert_line(&said, &format!("…  verbs: [{}]", rule.verb));
            user.give_all(stage, at, &rule).await;
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

/// Every right that rules give.
fn rights_of(rules: &Value) -> Vec<Rule> {
    let texts = |value: &Value| -> Vec<&'static str> {
        let items = value.as_array().into_iter().flatten();
        // A test's strings may live as long as it.
        items
            .map(|item| &*item.as_str().unwrap().to_owned().leak())
            .collect()
    };
    let mut rights = Vec::new();
    for rule in rules.as_array().unwrap() {
        let group = texts(&rule["apiGroups"])[0];
        let mut names: Vec<_> = texts(&rule["resourceNames"])
            .into_iter()
            .map(Some)
            .collect();
        if names.is_empty() {
            names.push(None);
        }
        for resource in texts(&rule["resources"]) {
            for verb in texts(&rule["verbs"]) {
                rights.extend(names.iter().map(|name| Rule {
                    name: *name,
                    ..Rule::new(verb, group, resource)
                }));
            }
        }
    }
    rights
}

/// The rules without one right, one for each of the others.
fn without(rules: &Value, right: &Rule) -> Value {
    let mut kept = rights_of(rules);
    kept.retain(|rule| rule != right);
    let rule = |rule: Rule| {
        let mut one = json!({
            "apiGroups": [rule.group], "resources": [rule.resource], "verbs": [rule.verb],
        });
        if let Some(name) = rule.name {
            one["resourceNames"] = json!([name]);
        }
        one
    };
    kept.into_iter().map(rule).collect()
}
