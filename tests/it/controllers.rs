//! Why Kubernetes' own controllers make their calls: those of kube-controller-manager behind a proxy, on
//! a real kube-apiserver, and an audit log with bodies that this test reads by itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env, fs,
};

use record::{CallFinding, CallFindingKind, RunRecord};
use serde_json::Value;

use crate::{
    support::real,
    why::{Site, text},
};

/// A Deployment is created, scaled, rolled and deleted, in the background and in the foreground, with
/// an object of a custom resource that it owns, and at last its namespace. Who waits for that does so
/// without the proxy.
const SCRIPT: &str = r#"
set -eu
k() { "$KUBECTL" --namespace work "$@" >/dev/null; }
directly() { KUBECONFIG="$HOME/.kube/config" "$KUBECTL" --namespace work "$@"; }
directly create --filename - >/dev/null <<YAML
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
YAML
directly wait --for condition=Established customresourcedefinition/widgets.example.com >/dev/null
manager --kubeconfig "$KUBECONFIG" >manager.log 2>&1 &
manager=$!
trap 'kill $manager' EXIT
# until COMMAND says TEXT
until_is() { expected=$1; shift; until [ "$(directly "$@")" = "$expected" ]; do sleep 0.2; done; }
replicas() { until_is "$2" get deployment "$1" --output 'jsonpath={.status.replicas} {.status.updatedReplicas} {.status.observedGeneration}'; }
k create namespace work
until_is default get serviceaccount default --output 'jsonpath={.metadata.name}'
k create deployment web --image example.com/web:1 --replicas 3
replicas web '3 3 1'
k create --filename - <<YAML
apiVersion: example.com/v1
kind: Widget
metadata:
  name: owned
  ownerReferences:
  - {apiVersion: apps/v1, kind: Deployment, name: web, uid: $(directly get deployment web --output 'jsonpath={.metadata.uid}')}
YAML
k scale deployment web --replicas 6
replicas web '6 6 2'
# No pod is ever ready, and a rollout is to go on all the same.
k patch deployment web --patch '{"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": "100%"}},
  "template": {"spec": {"containers": [{"name": "web", "image": "example.com/web:2"}]}}}}'
replicas web '6 6 3'
k delete deployment web --wait=false
until_is '' get deployments,replicasets,pods,widgets --output name
k create deployment foreground --image example.com/web:1 --replicas 2
replicas foreground '2 2 1'
k delete deployment foreground --cascade=foreground --wait=false
until_is '' get deployments,replicasets,pods --output name
k create deployment last --image example.com/web:1 --replicas 2
replicas last '2 2 1'
k delete namespace work --wait=false
until_is '' get namespace work --ignore-not-found --output name
kill $manager
wait $manager || true
trap - EXIT
"#;

/// How far the clock of the log may be from that of the proxy, in seconds.
const CLOCKS_APART: f64 = 0.2;

/// A request as the log has it.
struct Logged<'a> {
    event: &'a Value,
    /// The program, and which of its clients it was.
    program: &'a str,
    client: &'a str,
    /// `PATCH-pods/status`.
    call: String,
    object: [&'a str; 4],
    code: u64,
    begun: f64,
    ended: f64,
}

fn seconds(event: &Value, name: &str) -> f64 {
    let time: jiff::Timestamp = text(&event[name]).parse().unwrap();
    time.as_microsecond() as f64 / 1e6
}

impl<'a> Logged<'a> {
    fn of(event: &'a Value) -> Self {
        let reference = &event["objectRef"];
        let agent = text(&event["userAgent"]);
        let resource = text(&reference["resource"]);
        let subresource = match text(&reference["subresource"]) {
            "" => String::new(),
            name => format!("/{name}"),
        };
        let call = match resource {
            "" => text(&event["requestURI"]),
            resource => resource,
        };
        let mut object =
            ["apiGroup", "resource", "namespace", "name"].map(|part| text(&reference[part]));
        if object[3].is_empty() {
            object[3] = text(&event["responseObject"]["metadata"]["name"]);
        }
        Self {
            event,
            program: agent.split('/').next().unwrap(),
            client: agent.rsplit('/').next().unwrap(),
            call: format!(
                "{}-{call}{subresource}",
                text(&event["verb"]).to_uppercase()
            ),
            object,
            code: event["responseStatus"]["code"].as_u64().unwrap(),
            begun: seconds(event, "requestReceivedTimestamp"),
            ended: seconds(event, "stageTimestamp"),
        }
    }

    fn verb(&self) -> &'a str {
        text(&self.event["verb"])
    }

    fn is_get(&self) -> bool {
        self.verb() == "get" && !self.object[1].is_empty() && !self.call.contains('/')
    }

    fn version(&self) -> &'a str {
        text(&self.event["responseObject"]["metadata"]["resourceVersion"])
    }

    /// The version that an update, patch or delete wanted.
    fn wanted(&self) -> &'a str {
        let sent = &self.event["requestObject"];
        match self.verb() {
            "delete" => text(&sent["preconditions"]["resourceVersion"]),
            _ => text(&sent["metadata"]["resourceVersion"]),
        }
    }

    /// The kind of the answer, which is another one where only metadata was asked for.
    fn kind(&self) -> &'a str {
        text(&self.event["responseObject"]["kind"])
    }

    fn has_selector(&self) -> bool {
        text(&self.event["requestURI"]).contains("Selector=")
    }
}

/// Kind, program, call and code, and how many requests: at least and at most.
type Bounds = BTreeMap<[String; 4], (u64, u64)>;

fn add(bounds: &mut Bounds, kind: &str, logged: &Logged<'_>, count: (u64, u64)) {
    let code = if logged.code < 400 || kind.contains("get") {
        String::new()
    } else {
        logged.code.to_string()
    };
    let key = [kind, logged.program, &logged.call, &code].map(str::to_owned);
    let bounds = bounds.entry(key).or_default();
    *bounds = (bounds.0 + count.0, bounds.1 + count.1);
}

/// What failed, and the writes that changed nothing.
fn failures_and_no_ops(log: &[Logged<'_>], bounds: &mut Bounds) {
    let mut versions: HashMap<[&str; 4], BTreeSet<&str>> = HashMap::new();
    for logged in log.iter().filter(|logged| logged.verb() != "watch") {
        let is_write = matches!(logged.verb(), "update" | "patch");
        if logged.code >= 400 {
            add(bounds, "failed", logged, (1, 1));
            let is_of_version = is_write || !logged.wanted().is_empty();
            let message = text(&logged.event["responseStatus"]["message"]);
            let is_other = message.contains("UID in precondition");
            if logged.code == 409 && is_of_version && !is_other {
                add(bounds, "conflict", logged, (1, 1));
            }
            continue;
        }
        let known = versions.entry(logged.object).or_default();
        let had = match logged.wanted() {
            "" => known.contains(logged.version()),
            wanted => wanted == logged.version(),
        };
        let metadata = &logged.event["responseObject"]["metadata"];
        // The write may be what removes it: then its last version is in the answer.
        let is_deleted = !metadata["deletionTimestamp"].is_null();
        if is_write && had && logged.object[1] != "secrets" {
            add(bounds, "no-op-write", logged, (u64::from(!is_deleted), 1));
        }
        known.insert(logged.version());
    }
}

/// Gets of what the same program had got at most a second before, in the same version.
fn repeated_gets(log: &[Logged<'_>], bounds: &mut Bounds) {
    let mut last: HashMap<([&str; 4], &str, &str), &Logged<'_>> = HashMap::new();
    let gets = log.iter().filter(|logged| logged.is_get());
    for logged in gets.filter(|logged| logged.code == 200) {
        let key = (logged.object, logged.program, logged.kind());
        let Some(before) = last.insert(key, logged) else {
            continue;
        };
        let pause = logged.begun - before.ended;
        let is_within = |most: f64| pause <= most && logged.version() == before.version();
        let count = [1.0 - CLOCKS_APART, 1.0 + CLOCKS_APART].map(|most| u64::from(is_within(most)));
        add(bounds, "repeated-read", logged, (count[0], count[1]));
    }
}

/// Gets of what the same program watches whole, or of whose metadata it watches the metadata. Only by
/// its name is a client known here as one that watches metadata alone.
fn watched_gets(log: &[Logged<'_>], bounds: &mut Bounds) {
    let watches = log.iter().filter(|logged| logged.verb() == "watch");
    let watches: Vec<_> = watches.filter(|watch| !watch.has_selector()).collect();
    for logged in log.iter().filter(|logged| logged.is_get()) {
        if !matches!(logged.code, 200 | 404) {
            continue;
        }
        let is_of_metadata = logged.client == "generic-garbage-collector";
        let covers = |watch: &&Logged<'_>, later: f64| {
            let is_whole = watch.client != "metadata-informers";
            watch.program == logged.program
                && watch.object[..2] == logged.object[..2]
                && (is_whole || is_of_metadata)
                && watch.begun + later < logged.begun
        };
        let count = [CLOCKS_APART, -CLOCKS_APART]
            .map(|later| u64::from(watches.iter().any(|watch| covers(watch, later))));
        add(bounds, "get-of-watched", logged, (count[0], count[1]));
    }
}

fn read_independently(events: &[Value]) -> Bounds {
    let log: Vec<_> = events.iter().map(Logged::of).collect();
    let mut bounds = Bounds::new();
    failures_and_no_ops(&log, &mut bounds);
    repeated_gets(&log, &mut bounds);
    watched_gets(&log, &mut bounds);
    bounds.retain(|_, (_, most)| *most > 0);
    bounds
}

/// The same of findings.
fn counts(findings: &[CallFinding]) -> BTreeMap<[String; 4], u64> {
    let mut counts = BTreeMap::new();
    let mut count = |kind: &str, finding: &CallFinding| {
        let parts = [kind, &finding.component, &finding.call, &finding.code];
        *counts.entry(parts.map(str::to_owned)).or_default() += finding.calls;
    };
    for finding in findings {
        match finding.kind {
            CallFindingKind::RepeatedRead if finding.call.starts_with("LIST") => {}
            CallFindingKind::GetOfWatched if finding.reason != "watched" => {}
            CallFindingKind::Conflict
            | CallFindingKind::NoOpWrite
            | CallFindingKind::RepeatedRead
            | CallFindingKind::GetOfWatched => count(&finding.kind.to_string(), finding),
            _ => {}
        }
        if finding.kind.has_code() {
            count("failed", finding);
        }
    }
    counts
}

/// A run of a script, and its findings.
fn measured(site: &Site, script: &str) -> (RunRecord, Vec<CallFinding>) {
    fs::write(site.home.path().join("script.sh"), script).unwrap();
    site.done(&["exec", "--results-dir", "results", "--", "sh", "script.sh"]);
    let record = fs::read(site.home.path().join("results/record.json")).unwrap();
    let run: RunRecord = serde_json::from_slice(&record).unwrap();
    println!("{}", site.done(&["why", &run.id]));
    let found = site.done(&["why", &run.id, "--output", "json"]);
    (run, serde_json::from_str(&found).unwrap())
}

/// A function of the shell that becomes the controllers: all of kube-controller-manager, if its path is
/// given, or the ones that are built for this.
fn manager() -> Option<String> {
    let program = match env::var("KUBETOLL_CONTROLLER_MANAGER") {
        Ok(path) => format!("'{path}' --secure-port 0"),
        Err(_) => format!("'{}'", real::program("controllers")?.display()),
    };
    Some(format!("manager() {{ exec {program} \"$@\"; }}\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_of_kubernetes_own_controllers_are_those_of_the_audit_log() {
    let (Some(manager), Some(site)) = (manager(), Site::set().await) else {
        return;
    };
    let (run, found) = measured(&site, &(manager + SCRIPT));
    let journal = &run.proxies[0].closed.journal;
    let ids = journal.iter().map(|line| line.audit_id.clone()).collect();
    let events = site.events(&ids);
    let bounds = read_independently(&events);
    let counts = counts(&found);
    for key in bounds.keys().chain(counts.keys()) {
        let (least, most) = bounds.get(key).copied().unwrap_or_default();
        let count = counts.get(key).copied().unwrap_or_default();
        println!("{key:?}: {count} found, {least} to {most} in the log");
        assert!((least..=most).contains(&count), "{key:?}");
    }
}

/// What is to be found of the program `faults`: how many calls, of which as many could go.
const FAULTS: &str = "
conflict:faults:DELETE-deployments@409:Conflict-second-UPDATE-deployments 2
conflict:faults:UPDATE-deployments@409:Conflict-second-UPDATE-deployments 4
conflict:faults:UPDATE-resourcequotas@409:Conflict-faults-UPDATE-resourcequotas 1
get-of-watched:faults:GET-configmaps:watched 7
get-of-watched:faults:GET-serviceaccounts:watched 3
gone-object:faults:UPDATE-resourcequotas/status@404:deleted-faults-DELETE-resourcequotas 3
no-op-write:faults:PATCH-deployments/scale:unchanged-/spec/replicas 1
no-op-write:faults:PATCH-deployments:unchanged-/metadata/labels/a 1
no-op-write:faults:UPDATE-deployments/status:unchanged 5
repeated-read:faults:GET-namespaces:same-version 5
";

/// The program speaks protobuf, asks for metadata alone, and makes dry runs, by queries and by bodies.
#[tokio::test(flavor = "multi_thread")]
async fn faults_that_a_controller_is_known_to_have_are_found_and_no_others() {
    let (Some(faults), Some(site)) = (real::program("faults"), Site::set().await) else {
        return;
    };
    let script = format!("exec '{}' --kubeconfig \"$KUBECONFIG\"", faults.display());
    let (_, found) = measured(&site, &script);
    let mut rows: Vec<String> = found
        .iter()
        .filter(|finding| finding.saved > 0 || finding.kind.has_code())
        .inspect(|finding| assert_eq!(finding.saved, finding.calls, "{}", finding.id))
        .map(|finding| format!("{} {}", finding.id, finding.calls))
        .collect();
    rows.sort();
    assert_eq!(rows, FAULTS.trim().lines().collect::<Vec<_>>());
    // What ended with its process is not short.
    let is_short = |finding: &&CallFinding| finding.kind == CallFindingKind::ShortWatch;
    assert_eq!(found.iter().find(is_short), None);
}
