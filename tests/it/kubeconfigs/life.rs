//! Credentials that change while a command runs under `exec`, and contexts that it may choose.

use std::process::Output;

use serde_json::{Value, json};

use super::stage::{Case, Stage, encoded};
use crate::support::{lines::assert_line, process::ProxyProcess};

const V1: &str = "client.authentication.k8s.io/v1";
const ADMIN: &str = "admin";
const ACCOUNT: &str = "system:serviceaccount:default:oidc";

/// Runs a script under `exec` in which `whoami` says who one is; gives its output's lines.
fn lines(stage: &Stage, case: &mut Case, script: &str) -> Vec<String> {
    case.write();
    let script = format!(
        "whoami() {{ {} auth whoami -o 'jsonpath={{.status.userInfo.username}}' 2>&1; echo; }}; {script}",
        stage.kubectl
    );
    let output = case
        .exec(&[])
        .args(["--", "timeout", "60", "sh", "-c", &script])
        .output();
    let output = output.unwrap();
    let lines = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    lines.lines().map(str::to_owned).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_got_anew_while_a_command_runs() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    a_file_rotates(&stage);
    a_plugins_token_ends(&stage);
    a_plugins_token_is_refused(&stage);
    a_plugins_certificate_ends(&stage);
    contexts_of_the_same_user_stay(&stage);
    a_rewritten_kubeconfig_can_be_anywhere(&stage);
}

fn a_file_rotates(stage: &Stage) {
    let mut case = Case::new(stage, "rotates");
    case.file("token", stage.cluster.admin_token());
    case.file("next", &stage.id_token);
    *case.user() = json!({"tokenFile": "token"});
    let script = format!(
        "cd {}; whoami; mv next token; until [ \"$(whoami)\" = {ACCOUNT} ]; do :; done; whoami",
        case.folder.display()
    );
    assert_eq!(lines(stage, &mut case, &script), [ADMIN, ACCOUNT]);
}

fn plugin(case: &mut Case, stage: &Stage, status: &Value) {
    case.plugin(V1, status, "echo x >> $(dirname $0)/asked");
    let next = json!({"kind": "ExecCredential", "apiVersion": V1,
        "status": {"token": stage.id_token}});
    case.file("next", &next.to_string());
    *case.user() = json!({"exec": {
        "command": "./plugin", "apiVersion": V1, "interactiveMode": "Never",
    }});
}

fn asked(case: &Case) -> usize {
    super::stage::content(&case.folder.join("asked"))
        .lines()
        .count()
}

fn a_plugins_token_ends(stage: &Stage) {
    let mut case = Case::new(stage, "ends");
    let status = json!({"token": stage.cluster.admin_token(),
        "expirationTimestamp": "2024-01-01T00:00:00Z"});
    plugin(&mut case, stage, &status);
    let folder = case.folder.display();
    let script = format!("cd {folder}; whoami; mv next credential.json; whoami; whoami");
    assert_eq!(lines(stage, &mut case, &script), [ADMIN, ACCOUNT, ACCOUNT]);
    assert_eq!(
        asked(&case),
        3,
        "at first, for the first call, and for the second"
    );
}

fn a_plugins_token_is_refused(stage: &Stage) {
    let mut case = Case::new(stage, "refused");
    plugin(&mut case, stage, &json!({"token": "withdrawn"}));
    let folder = case.folder.display();
    let script = format!("cd {folder}; whoami; mv next credential.json; whoami; whoami");
    let lines = lines(stage, &mut case, &script);
    assert!(
        lines[0].contains("You must be logged in to the server"),
        "{lines:?}"
    );
    assert_eq!(lines[lines.len() - 2..], [ACCOUNT, ACCOUNT]);
    assert_eq!(asked(&case), 2);
}

fn a_plugins_certificate_ends(stage: &Stage) {
    let mut case = Case::new(stage, "certificate");
    let status = json!({
        "clientCertificateData": stage.user.certificate_pem, "clientKeyData": stage.user.key_pem,
        "expirationTimestamp": "2024-01-01T00:00:00Z",
    });
    plugin(&mut case, stage, &status);
    let folder = case.folder.display();
    let script = format!("cd {folder}; whoami; mv next credential.json; whoami");
    assert_eq!(lines(stage, &mut case, &script), ["certified", ACCOUNT]);
}

/// They keep their names. The others are named, and are not there.
fn contexts_of_the_same_user_stay(stage: &Stage) {
    let mut case = Case::new(stage, "contexts");
    let context = |name: &str, cluster: &str, user: &str, namespace: &str| {
        json!({"name": name,
            "context": {"cluster": cluster, "user": user, "namespace": namespace}})
    };
    case.config["contexts"] = json!([
        context("kind-kind", "kubetoll", "kubetoll", "default"),
        context("kind-dev", "kubetoll", "kubetoll", "dev"),
        context("elsewhere", "far", "kubetoll", "default"),
        context("somebody", "kubetoll", "other", "default"),
    ]);
    case.config["current-context"] = json!("kind-kind");
    case.write();
    let create = |context: &str| -> Output {
        let mut exec = case.exec(&["--allow-no-calls"]);
        exec.args([
            "--",
            &stage.kubectl,
            "--context",
            context,
            "create",
            "cm",
            "made",
        ]);
        exec.args(["--dry-run=server", "-o", "jsonpath={.metadata.namespace}"]);
        exec.output().unwrap()
    };
    let left_out = "kubetoll: not in the command's kubeconfig, being of another cluster or user \
                    than context kind-kind: elsewhere, somebody\n";
    for (context, namespace) in [("kind-kind", "default"), ("kind-dev", "dev")] {
        let made = create(context);
        assert_eq!(text(&made.stdout), namespace, "{made:?}");
        assert!(text(&made.stderr).starts_with(left_out), "{made:?}");
    }
    let refused = create("elsewhere");
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(
        said.contains("error: context \"elsewhere\" does not exist\n"),
        "{said}"
    );
}

/// Files and plugins are found from everywhere, and the file is YAML as its name says.
fn a_rewritten_kubeconfig_can_be_anywhere(stage: &Stage) {
    let tls = stage.dir.path().join("tls");
    let mut certs = std::process::Command::new(env!("CARGO_BIN_EXE_kubetoll"));
    assert!(
        certs
            .args(["certs", "--out", tls.to_str().unwrap()])
            .status()
            .unwrap()
            .success()
    );
    let mut case = Case::new(stage, "rewritten");
    case.file("ca.crt", &stage.cluster.ca_pem());
    case.cluster()
        .as_object_mut()
        .unwrap()
        .remove("certificate-authority-data");
    case.cluster()["certificate-authority"] = json!("ca.crt");
    plugin(
        &mut case,
        stage,
        &json!({"token": stage.cluster.admin_token()}),
    );
    case.user()["as"] = json!("jane");
    case.context()["namespace"] = json!("dev");
    case.write();
    let upstream = format!("kubeconfig:{}", case.folder.join("config").display());
    let proxy = ProxyProcess::launch(&tls, &["--upstream", &upstream]);
    let out = stage.dir.path().join("through.yaml");
    let rewrite = |through: &str| {
        let mut rewrite = case.command(env!("CARGO_BIN_EXE_kubetoll"));
        rewrite
            .args(["kubeconfig", "--through", through, "--ca"])
            .arg(tls.join("ca.crt"));
        rewrite.arg("--out").arg(&out).output().unwrap()
    };
    let plain = rewrite(&proxy.url.replace("https", "http"));
    assert_eq!(plain.status.code(), Some(2));
    let said = "kubetoll: --through must begin with https://: the proxy speaks TLS alone, and \
                clients send no token without it\n";
    assert_eq!(text(&plain.stderr), said);
    let done = rewrite(&proxy.url);
    assert!(done.status.success(), "{done:?}");
    let yaml = super::stage::content(&out);
    assert!(yaml.starts_with("apiVersion: v1\n"), "{yaml}");
    let mut kubectl = case.command(&stage.kubectl);
    kubectl.env("KUBECONFIG", &out);
    let whoami = kubectl.args([
        "auth",
        "whoami",
        "-o",
        "jsonpath={.status.userInfo.username}",
    ]);
    assert_eq!(text(&whoami.output().unwrap().stdout), "jane");
    let metrics = proxy.metrics();
    assert_line(
        &metrics,
        "kubetoll_requests_total{component=\"kubectl\",verb=\"create\",group=\"authentication.k8s.io\",\
         version=\"v1\",resource=\"selfsubjectreviews\",subresource=\"\",code=\"201\",reason=\"\"} 1",
    );
    // A user with a certificate alone would be nobody behind the proxy.
    *case.user() = json!({
        "client-certificate-data": encoded(&stage.user.certificate_pem),
        "client-key-data": encoded(&stage.user.key_pem),
    });
    case.write();
    let mut refused = case.command(env!("CARGO_BIN_EXE_kubetoll"));
    refused
        .args(["kubeconfig", "--through", &proxy.url, "--ca"])
        .arg(tls.join("ca.crt"));
    assert_eq!(refused.output().unwrap().status.code(), Some(1));
}
