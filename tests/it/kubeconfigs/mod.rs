//! A kubeconfig means to `exec` what it means to kubectl: generated ones are used directly and under
//! `exec`, by real programs on a real kube-apiserver.

mod fields;
mod in_cluster;
mod life;
mod stage;

use std::{
    process::Output,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rand::{SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;

use fields::{FIELDS, Field};
use stage::{Case, Stage};

use crate::support::tunnels::Tunnels;

/// Cases in the suite; `KUBETOLL_KUBECONFIGS` is another number.
const CASES: usize = 72;
/// Cases at the same time.
const AT_ONCE: usize = 4;
/// Which mixes there are is the same each time.
const SEED: u64 = 4711;
/// What `exec` refuses though kubectl takes it.
const REFUSED_ALONE: [&str; 1] = ["server with a user"];
/// What kubectl sees that differs by design: where the proxy is, and what is presented to it.
const LED: [&str; 17] = [
    "server",
    "certificate-authority",
    "certificate-authority-data",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "proxy-url",
    "token",
    "tokenFile",
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "username",
    "password",
    "exec",
    "auth-provider",
    "LocationOfOrigin",
];

/// What came of one way of using a kubeconfig.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// Of `auth whoami`: who one is.
    user: Option<Value>,
    /// Of `create --dry-run=server`: in which namespace, or the API server's refusal.
    namespace: String,
    /// Of `config view`: the names and what says who acts.
    view: Value,
    /// Which proxies were asked for what.
    dialled: Vec<String>,
}

/// Three calls of kubectl, each with its exit code, in one command. Who is nobody creates nothing.
fn script(kubectl: &str) -> String {
    format!(
        "{kubectl} auth whoami -o json; code=$?; echo; echo END $code; \
         [ $code = 0 ] && {kubectl} create configmap made --dry-run=server \
         -o 'jsonpath={{.metadata.namespace}}' 2>&1; \
         echo; echo END $?; {kubectl} config view --minify -o json; echo END $?"
    )
}

fn outcome(output: &Output, dialled: Vec<String>) -> Outcome {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let mut parts = Vec::new();
    let mut part = String::new();
    for line in text.lines() {
        match line.strip_prefix("END ") {
            Some(code) => parts.push((std::mem::take(&mut part), code == "0")),
            None => part.push_str(line),
        }
    }
    let [whoami, create, view] = parts.try_into().unwrap_or_else(|_| panic!("{output:?}"));
    let done = |(text, done): (String, bool)| done.then_some(text);
    let user = done(whoami).map(|text| {
        let review: Value = serde_json::from_str(&text).unwrap();
        review["status"]["userInfo"].clone()
    });
    let view = done(view).map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
    Outcome {
        user,
        namespace: create.0,
        view: without_led(view),
        dialled,
    }
}

/// A view without what leads through the proxy, and without what is empty.
fn without_led(mut view: Value) -> Value {
    let parts = [
        ("clusters", "cluster"),
        ("users", "user"),
        ("contexts", "context"),
    ];
    for (list, part) in parts {
        for one in view[list].as_array_mut().into_iter().flatten() {
            if let Some(fields) = one[part].as_object_mut() {
                fields.retain(|name, value| {
                    let is_empty = value.is_null() || value.as_str() == Some("");
                    !LED.contains(&name.as_str()) && !is_empty
                });
            }
        }
    }
    view
}

/// The fields of each case: each alone, then some of different kinds together.
fn cases(count: usize) -> Vec<Vec<&'static Field>> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut cases: Vec<Vec<&Field>> = FIELDS.iter().map(|field| vec![field]).collect();
    while cases.len() < count.max(FIELDS.len()) {
        let mut mix: Vec<&Field> = Vec::new();
        let wanted = rand::Rng::random_range(&mut random, 2..=5);
        for field in FIELDS.choose_multiple(&mut random, wanted) {
            if mix.iter().all(|other| other.kind != field.kind) {
                mix.push(field);
            }
        }
        // A login is set as a whole: what changes the user comes after it.
        mix.sort_by_key(|field| field.kind as u8);
        if mix.len() > 1 {
            cases.push(mix);
        }
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_means_under_exec_what_it_means_to_kubectl() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let count = std::env::var("KUBETOLL_KUBECONFIGS").map_or(CASES, |count| count.parse().unwrap());
    let cases = cases(count);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let mut tunnels = Vec::new();
    for _ in 0..AT_ONCE {
        tunnels.push(stage.tunnels().await);
    }
    // A call to a server that is away takes kubectl its time.
    std::thread::scope(|threads| {
        for tunnels in tunnels {
            threads.spawn(|| {
                let tunnels = tunnels;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(fields) = cases.get(number) else {
                        return;
                    };
                    let case = Case::new(&stage, &format!("case {number}"));
                    let result = one(&stage, case, fields, &tunnels);
                    results.lock().unwrap().push(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let (found, wrong): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let refused: Vec<String> = found.into_iter().filter_map(Result::unwrap).collect();
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
    let same = cases.len() - refused.len() - wrong.len();
    eprintln!("refused:\n{}", refused.join("\n"));
    eprintln!(
        "{same} kubeconfigs meant the same, {} were refused",
        refused.len()
    );
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(same > refused.len(), "{same}");
}

/// Makes a kubeconfig with these fields, and compares.
fn one(
    stage: &Stage,
    mut case: Case,
    fields: &[&Field],
    tunnels: &Arc<Tunnels>,
) -> Result<Option<String>, String> {
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    let title = names.join(" + ");
    case.tunnels = Arc::clone(tunnels);
    for field in fields {
        (field.change)(&mut case, stage);
    }
    case.write();
    let compared = compare(stage, &case, &names);
    let refused = compared.map_err(|words| format!("{title}:\n{words}"))?;
    Ok(refused.map(|sentence| format!("{title}: {sentence}")))
}

/// Whether a kubeconfig means the same both ways. Gives the sentence by which `exec` refused it,
/// where kubectl can't use it either or `exec` may; and in words what differs.
fn compare(stage: &Stage, case: &Case, names: &[&str]) -> Result<Option<String>, String> {
    let script = script(&stage.kubectl);
    case.tunnels.take();
    let direct = case.command("sh").args(["-c", &script]).output().unwrap();
    let directly = outcome(&direct, case.tunnels.take());
    let out = case.folder.join("result");
    let out = out.to_str().unwrap();
    let options = ["--allow-no-calls", "--out", out, "--output", "json"];
    let mut exec = case.exec(&options);
    let exec = exec.args(["--", "sh", "-c", &script]).output().unwrap();
    let dialled = case.tunnels.take();
    let (said, config) = (String::from_utf8_lossy(&exec.stderr), &case.config);
    if exec.stdout.is_empty() {
        let last = said.lines().last().unwrap_or_default();
        let is_sentence = last.starts_with("kubetoll: ") && exec.status.code() == Some(1);
        let may = names.iter().any(|name| REFUSED_ALONE.contains(name));
        if is_sentence && (may || directly.user.is_none()) {
            return Ok(Some(last.to_owned()));
        }
        return Err(format!("{said}\ndirectly: {directly:#?}\n{config}"));
    }
    let under_exec = outcome(&exec, dialled);
    if directly == under_exec {
        return Ok(None);
    }
    let complaint = String::from_utf8_lossy(&direct.stderr);
    Err(format!(
        "{complaint}directly: {directly:#?}\n{said}under exec: {under_exec:#?}\n{config}"
    ))
}
