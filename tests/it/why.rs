//! Why calls were made: the journal of a command on a real kube-apiserver beside an audit log with
//! bodies, which this test reads by itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use cluster::kubeconfig::Credential;
use flate2::read::MultiGzDecoder;
use lab::real::RealCluster;
use record::{CallFinding, CallFindingKind, RunRecord};
use serde_json::Value;

use crate::{
    cli::{LOG, kubetoll, said},
    support::{caller::Caller, proxy::TestProxy, real, wire::Upstream},
};

/// All bodies, which only the API server itself sees besides the proxy.
const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
";

/// What must be in no file and no output.
const MARKS: [&str; 5] = [
    "mark-of-a-secret",
    "mark-of-a-value",
    "mark-of-a-selector",
    "mark-of-a-token",
    "bWFyay1vZi1hLXNlY3JldA", // that of the Secret, in base64
];

/// Conflicts, failed tests of patches, writes that change nothing, objects that are gone, reads that
/// are repeated.
const SCRIPT: &str = r#"
set -u
k() { "$KUBECTL" "$@" >/dev/null 2>&1 || true; }
k create configmap one --from-literal=key=mark-of-a-value
"$KUBECTL" get configmap one --output json >old.json
k label configmap one step=first
# Somebody else has written it in between.
k replace --filename old.json
k replace --filename old.json
# A test that doesn't hold, and two of which one doesn't.
k patch configmap one --type json --patch '[{"op":"test","path":"/metadata/labels/step","value":"mark-of-a-value"},{"op":"add","path":"/data/x","value":"mark-of-a-value"}]'
k patch configmap one --type json --patch '[{"op":"test","path":"/metadata/name","value":"one"},{"op":"test","path":"/data/key","value":"other"},{"op":"remove","path":"/data/key"}]'
# Nothing changes.
k patch configmap one --type merge --patch '{"metadata":{"labels":{"step":"first"}}}'
k patch configmap one --type merge --patch '{"metadata":{"labels":{"step":"first"}}}'
"$KUBECTL" get configmap one --output json >new.json
k replace --filename new.json
cat >applied.yaml <<YAML
apiVersion: v1
kind: ConfigMap
metadata: {name: two, finalizers: [kubetoll.test/hold]}
data: {key: mark-of-a-value}
YAML
k apply --server-side --filename applied.yaml
k apply --server-side --filename applied.yaml
# It is there already, and refused.
k create configmap one
k create configmap Two
# The write that takes the last finalizer off is the one that removes the object.
k delete configmap two --wait=false
k patch configmap two --type merge --patch '{"metadata":{"finalizers":null}}'
k delete configmap one
k get configmap one
k replace --filename new.json
k create secret generic s --from-literal=key=mark-of-a-secret
k patch secret s --type merge --patch '{"stringData":{"key":"mark-of-a-secret"}}'
k get secrets --selector mark=mark-of-a-selector
k get pods --all-namespaces --field-selector spec.nodeName=mark-of-a-selector
k get pods
"#;

/// A cluster whose audit log has all bodies, and a folder for a command.
pub struct Site {
    pub cluster: RealCluster,
    pub home: tempfile::TempDir,
}

impl Site {
    pub async fn set() -> Option<Self> {
        identity::install_provider();
        let assets = real::assets()?;
        let home = tempfile::tempdir().unwrap();
        let policy = home.path().join("policy.yaml");
        fs::write(&policy, POLICY).unwrap();
        let flag = format!("--audit-policy-file={}", policy.display());
        let cluster = RealCluster::start(assets, &[flag]).await.unwrap();
        let token = Credential::Token(cluster.admin_token().to_owned());
        let (url, ca) = (cluster.url(), cluster.ca_pem());
        let config = cluster::kubeconfig::kubeconfig(&url, ca.as_bytes(), &token);
        fs::create_dir(home.path().join(".kube")).unwrap();
        fs::write(home.path().join(".kube/config"), config.to_string()).unwrap();
        Some(Self { cluster, home })
    }

    fn kubetoll(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_kubetoll"))
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("KUBECTL", self.cluster.assets().kubectl())
            .env("KUBETOLL_STORE", self.home.path().join("history.db"))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.kubetoll(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The events of the audit log with these IDs, in the log's order.
    pub fn events(&self, ids: &BTreeSet<String>) -> Vec<Value> {
        let log = fs::read_to_string(self.cluster.audit_log()).unwrap();
        let events = log.lines().map(|line| serde_json::from_str(line).unwrap());
        events
            .filter(|event: &Value| ids.contains(text(&event["auditID"])))
            .collect()
    }

    /// The findings of a log of these events alone.
    fn why_audit(&self, events: &[Value]) -> Vec<CallFinding> {
        let log = events.iter().map(|event| format!("{event}\n"));
        let file = self.home.path().join("audit.log");
        fs::write(file, log.collect::<String>()).unwrap();
        let found = self.done(&["why", "--audit", "audit.log", "--output", "json"]);
        serde_json::from_str(&found).unwrap()
    }
}

/// A text, empty for anything else.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Kind, call and code, and how many requests.
type Counts = BTreeMap<(String, String, String), u64>;

/// What an audit log with bodies says of failures and of writes that changed nothing.
fn read_independently(events: &[Value]) -> Counts {
    let mut counts = Counts::new();
    let mut versions: HashMap<String, String> = HashMap::new();
    let mut gone = BTreeSet::new();
    let complete = |event: &&Value| event["stage"] == "ResponseComplete";
    for event in events.iter().filter(complete) {
        let verb = text(&event["verb"]);
        let reference = &event["objectRef"];
        let call = format!("{}-{}", verb.to_uppercase(), text(&reference["resource"]));
        let code = event["responseStatus"]["code"].as_u64().unwrap();
        let (sent, answer) = (&event["requestObject"], &event["responseObject"]);
        let name = [&reference["name"], &answer["metadata"]["name"]].map(text);
        let name = if name[0].is_empty() { name[1] } else { name[0] };
        let object = format!("{}/{name}", text(&reference["resource"]));
        let metadata = &answer["metadata"];
        let version = text(&metadata["resourceVersion"]).to_owned();
        let is_write = matches!(verb, "update" | "patch");
        let kind = match (code, text(&event["responseStatus"]["reason"])) {
            (409, "Conflict") if is_write => Some("conflict"),
            (409, "AlreadyExists") => Some("already-exists"),
            (404, _) if gone.contains(&object) => Some("gone-object"),
            (400.., _) => Some("failure"),
            _ => None,
        };
        let is_removed = !metadata["deletionTimestamp"].is_null()
            && metadata["finalizers"].as_array().is_none_or(Vec::is_empty);
        if let Some(kind) = kind {
            *counts
                .entry((kind.to_owned(), call, code.to_string()))
                .or_default() += 1;
            continue;
        }
        let _ = sent;
        if code == 200 && is_write && !is_removed && versions.get(&object) == Some(&version) {
            *counts
                .entry(("no-op-write".to_owned(), call, String::new()))
                .or_default() += 1;
        }
        if is_removed || (verb == "delete" && metadata["finalizers"].is_null()) {
            gone.insert(object.clone());
        }
        // A Secret's bodies are read by nobody.
        if !version.is_empty() && text(&answer["kind"]) != "Secret" {
            versions.insert(object, version);
        }
    }
    counts
}

fn counts(findings: &[CallFinding]) -> Counts {
    let mut counts = Counts::new();
    for finding in findings {
        let compared = finding.kind.has_code() || finding.kind == CallFindingKind::NoOpWrite;
        if compared {
            let key = (
                finding.kind.to_string(),
                finding.call.clone(),
                finding.code.clone(),
            );
            *counts.entry(key).or_default() += finding.calls;
        }
    }
    counts
}

/// The same kinds, with the reason. A proxy calls a user that is no service account by its program.
fn compared(findings: &[CallFinding]) -> BTreeSet<(String, u64, u64)> {
    let kinds = |kind: CallFindingKind| kind.has_code() || kind == CallFindingKind::NoOpWrite;
    let of_kinds = findings.iter().filter(|finding| kinds(finding.kind));
    of_kinds
        .map(|finding| {
            let id = finding.id.replace(&finding.component, "USER");
            (id, finding.calls, finding.saved)
        })
        .collect()
}

/// What of KubeVirt's own controllers failed, in an audit log of level Metadata.
#[test]
fn an_audit_log_without_bodies_has_all_failures_and_says_what_it_does_not_know() {
    let output = |arguments: &[&str]| {
        let output = kubetoll().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        output
    };
    let mut failed: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut requests = 0;
    let log = MultiGzDecoder::new(fs::File::open(LOG).unwrap());
    for line in BufReader::new(log).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        // One event of each request.
        assert_eq!(event["level"], "Metadata");
        requests += 1;
        let code = event["responseStatus"]["code"].as_u64().unwrap();
        if code >= 400 {
            let reference = &event["objectRef"];
            let subresource = &reference["subresource"];
            let subresource = subresource.as_str().map(|name| format!("/{name}"));
            let call = format!(
                "{}-{}{}",
                text(&event["verb"]).to_uppercase(),
                text(&reference["resource"]),
                subresource.unwrap_or_default()
            );
            *failed.entry((call, code.to_string())).or_default() += 1;
        }
    }
    let json = output(&["why", "--audit", LOG, "--output", "json"]);
    let found: Vec<CallFinding> = serde_json::from_slice(&json.stdout).unwrap();
    let mut told: BTreeMap<(String, String), u64> = BTreeMap::new();
    for finding in found.iter().filter(|finding| !finding.code.is_empty()) {
        let key = (finding.call.clone(), finding.code.clone());
        *told.entry(key).or_default() += finding.calls;
    }
    assert_eq!(told, failed);
    assert_eq!(failed.values().sum::<u64>(), 3, "the log has failures");
    let levels = format!("{requests} of level Metadata");
    assert!(said(&json).contains(&levels), "{}", said(&json));
    let printed = output(&["why", "--audit", LOG]).stdout;
    let printed = String::from_utf8(printed).unwrap();
    assert!(
        printed.contains(&format!("of {requests} calls could go")),
        "{printed}"
    );
    assert!(printed.contains(&levels) && printed.contains("whether they changed anything"));
    // Events in any order, wrapped and repeated are the same.
    let log = MultiGzDecoder::new(fs::File::open(LOG).unwrap());
    let lines: Vec<String> = BufReader::new(log).lines().map(Result::unwrap).collect();
    let wrapped = lines
        .iter()
        .rev()
        .chain(&lines)
        .map(|line| format!("host: {{\"log\":{line}}}\n"));
    let wrapped: String = wrapped.collect();
    let again = crate::cli::run(
        kubetoll().args(["why", "--audit", "-", "--output", "json"]),
        wrapped.as_bytes(),
    );
    let again: Vec<CallFinding> = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again, found);
}

#[test]
fn a_run_and_an_audit_log_are_not_mixed_and_an_empty_log_is_an_answer() {
    let code = |arguments: &[&str], input: &[u8]| {
        let output = crate::cli::run(kubetoll().args(arguments), input);
        (output.status.code().unwrap(), said(&output))
    };
    assert_eq!(code(&["why"], b"").0, 2);
    assert_eq!(code(&["why", "run-1", "--audit", LOG], b"").0, 2);
    assert_eq!(code(&["why", "--audit", LOG, "--deletion"], b"").0, 2);
    let (empty, why) = code(&["why", "--audit", "-"], b"\n");
    assert_eq!(empty, 4);
    assert!(why.contains("there is no audit event in it"), "{why}");
    assert_eq!(
        code(&["why", "--audit", "-"], b"{}\n").0,
        1,
        "a damaged line"
    );
    let other = ["why", "--audit", LOG, "--component", "virt-controler"];
    let (unknown, why) = code(&other, b"");
    assert_eq!(unknown, 4);
    assert!(why.contains("did you mean virt-controller?"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_those_of_an_audit_log_with_bodies_and_hold_no_value() {
    let Some(site) = Site::set().await else {
        return;
    };
    fs::write(site.home.path().join("script.sh"), SCRIPT).unwrap();
    let run = ["exec", "--results-dir", "results", "--", "sh", "script.sh"];
    site.done(&run);
    let record = site.home.path().join("results/record.json");
    let run: RunRecord = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    let found = site.done(&["why", "results/record.json", "--output", "json"]);
    let found: Vec<CallFinding> = serde_json::from_str(&found).unwrap();
    let printed = site.done(&["why", &run.id]);
    println!("{printed}");
    // The first finding with the sums of all.
    let first = site.done(&["why", "newest", "--top", "1"]);
    let lines = |text: &str, count| {
        text.lines()
            .take(count)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&first, 6), lines(&printed, 6));
    let rest = format!("and {} findings more", found.len() - 1);
    assert_eq!(first.lines().last(), Some(&*rest));
    let unknown = site.kubetoll(&["why", "newest", "--component", "kubectll"]);
    assert_eq!(unknown.status.code(), Some(4));
    assert!(
        said(&unknown).contains("the run has no request of kubectll"),
        "{}",
        said(&unknown)
    );

    let journal = &run.proxies[0].closed.journal;
    let ids = journal.iter().map(|line| line.audit_id.clone()).collect();
    let events = site.events(&ids);
    let expected = read_independently(&events);
    assert_eq!(counts(&found), expected);
    let of_log = site.why_audit(&events);
    assert_eq!(compared(&of_log), compared(&found));
    is_unknown_without_bodies(&site, events, &found);
    for kind in [
        "conflict",
        "already-exists",
        "gone-object",
        "failure",
        "no-op-write",
    ] {
        let mut kinds = expected.keys();
        assert!(
            kinds.any(|(one, ..)| one == kind),
            "the script makes no {kind}"
        );
    }
    let reasons: BTreeSet<&str> = found.iter().map(|finding| &*finding.reason).collect();
    for reason in [
        "failed: /metadata/labels/step",
        "one of: /data/key, /metadata/name",
    ] {
        assert!(reasons.contains(reason), "{reasons:?}");
    }
    // The books and the findings have the same failures.
    let failed = run
        .rows()
        .filter(|row| row.outcome.code().is_none_or(|code| code >= 400));
    let failed: u64 = failed.map(|row| row.answered).sum();
    let coded = found.iter().filter(|finding| !finding.code.is_empty());
    assert_eq!(coded.map(|finding| finding.calls).sum::<u64>(), failed);
    let saved: u64 = found.iter().map(|finding| finding.saved).sum();
    assert!(saved <= run.rows().map(|row| row.answered).sum());

    no_value_leaks(&site, &run.id);
}

/// Without a run, and of nobody who has no credential.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_keeps_its_last_requests_and_no_more() {
    let mut server = Upstream::serving().await;
    let kept = proxy::Options {
        recorder: 3,
        ..proxy::Options::default()
    };
    let proxy = TestProxy::start_with(&server.url, &server.ca_pem, kept).await;
    let caller = Caller::connect(&proxy, "t").await;
    for number in 0..5 {
        caller
            .get(&format!("/api/v1/namespaces/n/pods/p{number}"))
            .await;
    }
    let recent = proxy.admin.recent().await.unwrap();
    let names = recent.journal.iter().map(|line| &*line.name);
    assert_eq!(names.collect::<Vec<_>>(), ["p2", "p3", "p4"]);
    let ids = recent
        .journal
        .iter()
        .map(|line| (line.connection, line.stream));
    assert_eq!(ids.collect::<Vec<_>>(), [(1, 3), (1, 4), (1, 5)]);
    proxy.stop().await;

    let proxy = TestProxy::start(&server.url, &server.ca_pem).await;
    let refused = proxy.admin.recent().await.unwrap_err().to_string();
    let end = "answers 404 Not Found: this proxy keeps no requests: start it with --recorder N";
    assert!(refused.ends_with(end), "{refused}");
    proxy.stop().await;
    server.closed.close();
}

/// The same log of level Metadata: as many failures, and nothing that depends on bodies.
fn is_unknown_without_bodies(site: &Site, mut events: Vec<Value>, found: &[CallFinding]) {
    for event in &mut events {
        event["level"] = "Metadata".into();
        let members = event.as_object_mut().unwrap();
        members.remove("requestObject");
        members.remove("responseObject");
    }
    let of_log = site.why_audit(&events);
    let failed = |findings: &[CallFinding]| {
        let mut failed: BTreeMap<(String, String), u64> = BTreeMap::new();
        for finding in findings.iter().filter(|one| one.kind.has_code()) {
            let key = (finding.call.clone(), finding.code.clone());
            *failed.entry(key).or_default() += finding.calls;
        }
        failed
    };
    assert_eq!(failed(&of_log), failed(found));
    for finding in &of_log {
        assert_ne!(finding.kind, CallFindingKind::NoOpWrite);
        let is_conflict = finding.kind == CallFindingKind::Conflict;
        assert!(!is_conflict || finding.reason == "Conflict: unknown");
        assert!(!finding.detail.contains("test"), "{}", finding.detail);
    }
}

/// Everything that the run wrote and everything that is printed of it.
fn no_value_leaks(site: &Site, run: &str) {
    // All of it, with what did not go through the proxy.
    let log = site.cluster.audit_log().display().to_string();
    let why_audit = ["why", "--audit", &log];
    let mut texts = vec![
        ("why".to_owned(), site.done(&["why", run])),
        ("journal".to_owned(), site.done(&["journal", run])),
        ("why --audit".to_owned(), site.done(&why_audit)),
        ("export".to_owned(), site.done(&["runs", "show", run])),
    ];
    for form in ["html", "md", "json"] {
        let out = format!("report.{form}");
        site.done(&["report", run, "--out", &out]);
        let text = fs::read_to_string(site.home.path().join(&out)).unwrap();
        texts.push((out, text));
    }
    let results = site.home.path().join("results");
    for entry in fs::read_dir(results).unwrap() {
        let path = entry.unwrap().path();
        texts.push((path.display().to_string(), read(&path)));
    }
    texts.push((
        "history".to_owned(),
        read(&site.home.path().join("history.db")),
    ));
    for (what, text) in texts {
        for mark in MARKS.iter().copied().chain([site.cluster.admin_token()]) {
            assert!(!text.contains(mark), "{what} has {mark}");
        }
        assert!(!text.is_empty(), "{what}");
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}
