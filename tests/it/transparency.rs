//! kubectl and client-go informers behave the same through the proxy and directly, on a real
//! kube-apiserver.

use std::{
    path::Path,
    process::{Command, Output},
};

use lab::real::RealCluster;

use crate::support::{real, two_ways::TwoWays, wire::last_words};

/// What stands for the editor of `kubectl edit`.
const EDITOR: &str = "sed -i s/first/edited/";

const POD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "i"}]}}"#;

/// One after the other, each in a namespace of its own that both ways share the name of.
const COMMANDS: [&str; 19] = [
    "create configmap c --from-literal=key=first",
    "get configmap c -o jsonpath={.data}",
    "get configmaps",
    "apply -f POD",
    "apply --server-side --force-conflicts -f POD",
    "get pods -o name",
    "patch pod p -p {\"metadata\":{\"labels\":{\"a\":\"b\"}}}",
    "patch pod p --type=json -p [{\"op\":\"test\",\"path\":\"/metadata/name\",\"value\":\"q\"}]",
    "label pod p x=y",
    "edit configmap c",
    "get configmap c -o jsonpath={.data.key}",
    "get pods --watch --request-timeout=1s --output-watch-events -o name",
    "exec p -- true",
    "logs p",
    "port-forward p 0:80",
    "get --raw /version",
    "get pods nobody",
    "auth can-i list pods",
    "delete configmap c",
];

fn kubectl(cluster: &RealCluster, kubeconfig: &Path, command: &str, pod: &Path) -> Output {
    let arguments = command.split(' ').map(|word| match word {
        "POD" => pod.to_str().unwrap(),
        word => word,
    });
    Command::new(cluster.assets().kubectl())
        .args(["--namespace", "default", "--kubeconfig"])
        .arg(kubeconfig)
        .args(arguments)
        .env("KUBE_EDITOR", EDITOR)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let said = format!(
        "{:?}\n{}\n{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let words = said.split_inclusive(char::is_whitespace);
    words
        .map(|word| if is_age(word.trim()) { "AGE " } else { word })
        .collect()
}

/// `12s`: the one thing that differs from second to second.
fn is_age(word: &str) -> bool {
    let digits = word.strip_suffix('s').unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Answers to all commands, and then everything is deleted again.
fn session(cluster: &RealCluster, kubeconfig: &Path, pod: &Path) -> Vec<String> {
    let answers = COMMANDS.map(|command| text(&kubectl(cluster, kubeconfig, command, pod)));
    kubectl(
        cluster,
        kubeconfig,
        "delete pod p --force --grace-period=0",
        pod,
    );
    answers.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_says_the_same_directly_and_through_the_proxy() {
    let Some(two) = TwoWays::start().await else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let pod = dir.path().join("pod.json");
    std::fs::write(&pod, POD).unwrap();
    let direct = session(&two.cluster, &two.direct, &pod);
    let through = session(&two.cluster, &two.through, &pod);
    for ((command, direct), through) in COMMANDS.iter().zip(direct).zip(through) {
        assert_eq!(direct, through, "kubectl {command}");
    }
    let verbose = |kubeconfig| {
        let output = kubectl(&two.cluster, kubeconfig, "get namespaces --v=8", &pod);
        headers(&String::from_utf8_lossy(&output.stderr))
    };
    assert_eq!(verbose(&two.direct), verbose(&two.through));
    two.proxy.stop().await;
}

/// Names of the response headers that `--v=8` shows, but for those that differ by request.
fn headers(log: &str) -> Vec<String> {
    let lines = log.lines().skip_while(|line| !line.contains("headers=<"));
    let names = lines
        .filter(|line| line.starts_with('\t') && line.contains(": "))
        .filter_map(|line| line.trim().split(": ").next().map(str::to_owned));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// What client-go's informers do in a few seconds; as a stream of all objects at first in place of a list,
/// where `by_watch`.
struct Informers {
    children: [std::process::Child; 2],
}

impl Informers {
    /// Directly, and through the proxy. More watches than kube-apiserver allows streams on one connection.
    fn start(two: &TwoWays, by_watch: bool) -> Self {
        let informer = real::program("informer").unwrap();
        let children = [&two.direct, &two.through].map(|kubeconfig| {
            Command::new(&informer)
                .arg("-kubeconfig")
                .arg(kubeconfig)
                .args(["-count", "120", "-for", "4s"])
                .env("KUBE_FEATURE_WatchListClient", by_watch.to_string())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        });
        Self { children }
    }

    /// What they say of it.
    fn ended(self) -> [serde_json::Value; 2] {
        self.children.map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            let said = String::from_utf8(output.stdout).unwrap();
            serde_json::from_str(said.lines().last().unwrap()).unwrap()
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn informers_see_the_same_directly_and_through_the_proxy() {
    let Some(two) = TwoWays::start().await else {
        return;
    };
    let none = Path::new("");
    let kubectl = |command: String| kubectl(&two.cluster, &two.direct, &command, none);
    for by_watch in [false, true] {
        let informers = Informers::start(&two, by_watch);
        for number in 0..10 {
            let name = format!("c{number}-{by_watch}");
            kubectl(format!("create configmap {name} --from-literal=a=b"));
            kubectl(format!("label configmap {name} x=y"));
        }
        let [direct, through] = informers.ended();
        for count in ["objects", "errors", "lists", "watches"] {
            assert_eq!(
                through[count], direct[count],
                "{count}, by watch: {by_watch}"
            );
        }
        let lists = if by_watch { 0 } else { 120 };
        assert_eq!(direct["lists"], lists, "{direct}");
    }
    two.proxy.stop().await;
}

/// kube-apiserver reads the first line of addresses only, and leaves out what is none.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_has_the_clients_address_whatever_it_says_of_itself() {
    let Some(two) = TwoWays::start().await else {
        return;
    };
    let made_up: [(&str, &[u8], &[&str]); 3] = [
        ("one", b"", &[]),
        (
            "two",
            b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n",
            &["192.0.2.1", "192.0.2.2"],
        ),
        (
            "three",
            b"X-Forwarded-For: 192.0.2.1\xff\r\nX-Forwarded-For: 192.0.2.2\r\n",
            &["192.0.2.2"],
        ),
    ];
    for (id, lines, expected) in made_up {
        let head = format!(
            "GET /version HTTP/1.1\r\nHost: p\r\nConnection: close\r\nAudit-ID: {id}\r\nAuthorization: Bearer {}\r\n",
            two.cluster.admin_token()
        );
        let request = [head.as_bytes(), lines, b"\r\n"].concat();
        let answer = last_words(&two.proxy, &request).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let expected = [expected, &["127.0.0.1"]].concat();
        assert_eq!(source_addresses(&two.cluster, id), expected, "{id}");
    }
    two.proxy.stop().await;
}

/// What the audit log has of this request, which was answered.
fn source_addresses(cluster: &RealCluster, id: &str) -> Vec<String> {
    let log = std::fs::read_to_string(cluster.audit_log()).unwrap();
    let events = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let event: serde_json::Value = { events }
        .find(|event: &serde_json::Value| event["auditID"] == id)
        .unwrap();
    serde_json::from_value(event["sourceIPs"].clone()).unwrap()
}
