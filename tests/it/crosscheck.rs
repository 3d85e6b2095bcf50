//! `kubetoll crosscheck`: a component's own counter beside the wire, with client-go on a real
//! kube-apiserver.

use std::{
    fs,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use cluster::kubeconfig::{Credential, write_private};
use lab::simulation::{Identity, Simulation};
use record::{Crosscheck, CrosscheckRow, Finding, PerfAuditResults, RunRecord, RunResult};

use crate::support::{
    component::{Cluster, Component},
    history,
    lines::assert_line,
    process::ProxyProcess,
    real,
};

const TOKEN: &str = "c0ffee-that-nobody-may-see";

/// A proxy, a component behind it whose metrics need TLS and a token, and where its CA is.
struct Site {
    cluster: Cluster,
    proxy: ProxyProcess,
    component: Component,
}

impl Site {
    async fn start() -> Option<Self> {
        let cluster = Cluster::start().await?;
        let proxy = cluster.proxy(&[]);
        let kubeconfig = cluster.kubeconfig("component", &proxy);
        let path = |name: &str| cluster.dir.path().join(name).display().to_string();
        fs::write(path("token"), format!("{TOKEN}\n")).unwrap();
        let ca = cluster.authority.certificate_pem();
        fs::write(path("component-ca.crt"), ca).unwrap();
        // The proxy's own serving certificate does for both.
        let (certificate, key, token) = (path("tls.crt"), path("tls.key"), path("token"));
        let tls = ["-tls-cert", &certificate, "-tls-key", &key];
        let arguments = [&tls[..], &["-token-file", &token]].concat();
        let component = Component::start(&kubeconfig, "virt-api", &arguments);
        Some(Self {
            cluster,
            proxy,
            component,
        })
    }

    fn path(&self, name: &str) -> String {
        self.cluster.dir.path().join(name).display().to_string()
    }

    /// `kubetoll crosscheck` with these arguments.
    fn run(&self, arguments: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
            .arg("crosscheck")
            .args(["--proxy", &self.proxy.admin])
            .args(arguments)
            .env("KUBETOLL_STORE", history::scratch())
            .env("RUST_LOG", "trace")
            .output()
            .unwrap();
        let said = [&output.stdout[..], &output.stderr].concat();
        assert!(!String::from_utf8_lossy(&said).contains(TOKEN));
        output
    }

    /// Compares while the component is asked for `what`.
    fn around(&self, more: &[&str], what: &str) -> Output {
        let named = format!("virt-api={}?n={TOKEN}", self.component.metrics);
        let (ca, token) = (self.path("component-ca.crt"), self.path("token"));
        let trust = [
            "--component-metrics-ca",
            &ca,
            "--component-metrics-token-file",
            &token,
        ];
        let url = self.component.url(what);
        let program = real::program("component").unwrap();
        let command = ["--", program.to_str().unwrap(), "-ask", &url];
        let named = ["--component-metrics", &named];
        self.run(&[&named[..], &trust, more, &command].concat())
    }

    fn check(&self, more: &[&str], what: &str, code: i32) -> Crosscheck {
        let output = self.around(&[more, &["--output", "json"]].concat(), what);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let check: Crosscheck = serde_json::from_str(&text).unwrap();
        assert_eq!(i32::from(check.exit_code), code);
        check
    }
}

fn row<'c>(check: &'c Crosscheck, resource: &str, verb: &str, code: &str) -> &'c CrosscheckRow {
    check.components[0]
        .rows
        .iter()
        .find(|row| (&*row.resource, &*row.verb, &*row.code) == (resource, verb, code))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_components_counter_is_compared_row_for_row_with_the_wire() {
    let Some(site) = Site::start().await else {
        return;
    };
    let equal = site.check(&["--sample", "50ms"], "/load?requests=160", 0);
    let [component] = &equal.components[..] else {
        panic!("{:?}", equal.components);
    };
    assert_eq!(component.component, "virt-api");
    assert_eq!(component.endpoints.join(" "), site.component.metrics);
    assert!(
        component
            .rows
            .iter()
            .all(|row| row.finding == Finding::Equal && row.at_the_ends == 0)
    );
    assert_eq!(component.rows.iter().map(|row| row.own).sum::<u64>(), 160);
    assert_eq!(row(&equal, "configmaps", "CREATE", "409").wire, 19);
    assert_eq!(row(&equal, "pods", "WATCH", "200").own, 10);
    assert_eq!(row(&equal, "none", "none", "200").own, 10);
    let of = |name: &str| equal.values[name];
    assert!(of("avgVirtAPICPUUsage") > 0.0);
    assert!(of("minVirtAPIMemoryUsageInMB") > 1.0);
    assert!(of("minVirtAPIMemoryUsageInMB") <= of("avgVirtAPIMemoryUsageInMB"));
    assert!(of("avgVirtAPIMemoryUsageInMB") <= of("maxVirtAPIMemoryUsageInMB"));

    let what = "/load?requests=16&unhooked=5&failing=3";
    let differs = site.check(&[], what, 3);
    let missed = row(&differs, "subjectaccessreviews", "CREATE", "201");
    assert_eq!((missed.wire, missed.own, missed.difference), (5, 0, -5));
    assert_eq!(missed.finding, Finding::Missed);
    let invented = row(&differs, "configmaps", "LIST", "<error>");
    assert_eq!(
        (invented.wire, invented.own, invented.difference),
        (0, 3, 3)
    );
    assert_eq!(invented.finding, Finding::Invented);
    let rest = differs.components[0].rows.iter();
    assert_eq!(
        rest.filter(|row| row.finding == Finding::Equal).count(),
        differs.components[0].rows.len() - 2
    );

    let allow = ["--allow-missed", "subjectaccessreviews"];
    let allowed = site.check(&allow, "/load?unhooked=2", 0);
    assert_eq!(allowed.components[0].rows[0].finding, Finding::Allowed);

    let text = site.around(&[], "/load?unhooked=2");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert_line(
        &text,
        "CREATE subjectaccessreviews 201: made by a client without the counter; in KubeVirt the \
         authorizer of virt-api is one",
    );
    assert_line(&text, "  avgVirtAPICPUUsage: …");
}

fn started_anew(name: &str, component: &Component) -> String {
    let metrics = &component.metrics;
    format!(
        "{name} at {metrics} or its counters were started anew in the window, so that its own \
         counts of it are not known"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_a_comparison_worthless_is_said() {
    let Some(site) = Site::start().await else {
        return;
    };
    site.component.ask("/load?requests=16");
    let restarted = site.check(&[], "/forget", 4);
    assert_eq!(
        restarted.problems[0],
        started_anew("virt-api", &site.component)
    );
    assert_eq!(restarted.components[0].rows, []);
    let silent = site.check(&[], "/load", 4);
    assert_eq!(
        silent.problems[0],
        "the proxies counted no call of virt-api: nothing was compared"
    );
    let failed = site.around(&[], "/nothing");
    assert_eq!(
        failed.status.code(),
        Some(1),
        "the command's own code comes first"
    );

    let named = format!("virt-api={}", site.component.metrics);
    let named = ["--component-metrics", &named, "--for", "1ms"];
    let says = |arguments: &[&str], code: i32, words: &str| {
        let output = site.run(&[&named[..], arguments].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert_line(&text, words);
    };
    says(
        &[],
        2,
        "kubetoll: --component-metrics virt-api=…: give --component-metrics-ca, or --component-metrics-insecure",
    );
    let metrics = &site.component.metrics;
    let refused = format!("kubetoll: {metrics} answers 401 Unauthorized");
    says(&["--component-metrics-insecure"], 1, &refused);
    let foreign = site.path("ca.crt");
    let untrusted = format!(
        "kubetoll: no answer from {metrics}: client error (Connect): invalid peer certificate: \
         UnknownIssuer"
    );
    says(&["--component-metrics-ca", &foreign], 1, &untrusted);
    let token = site.path("token");
    let both = [
        "--component-metrics-insecure",
        "--component-metrics-token-file",
        &token,
    ];
    let conflict = "error: the argument '--component-metrics-insecure' cannot be used with \
                    '--component-metrics-token-file <FILE>'";
    says(&both, 2, conflict);
}

/// `kubetoll crosscheck` over a second, of a component whose certificate is for another name.
fn over_a_second(proxy: &ProxyProcess, component: &Component, trust: &[&str]) -> Output {
    let endpoint = component.metrics.replace("/metrics", "");
    let endpoint = format!("virt-controller={endpoint}");
    Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .args(["crosscheck", "--proxy", &proxy.admin])
        .args(["--for", "1s", "--output", "json"])
        .args(["--component-metrics", &endpoint])
        .args(trust)
        .env("KUBETOLL_STORE", history::scratch())
        .output()
        .unwrap()
}

/// Waits until a call is counted.
fn wait_for_calls(proxy: &ProxyProcess) {
    let version = || {
        let page = proxy.metrics();
        let counter = page.lines().find(|line| line.contains("path=\"/version\""));
        counter.map(str::to_owned)
    };
    let (before, began) = (version(), Instant::now());
    while version() == before {
        assert!(began.elapsed() < Duration::from_secs(60), "no call comes");
    }
}

/// Calls never cease, so that there is no moment in which nothing is answered: what came at the
/// ends is told apart, and nothing is called missed or invented.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_component_with_a_certificate_of_another_name_is_compared_too() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let proxy = cluster.proxy(&[]);
    let kubeconfig = cluster.kubeconfig("component", &proxy);
    let name = "virt-controller.example";
    let leaf = cluster.authority.serving("component", &[name.to_owned()]);
    let leaf = leaf.unwrap();
    let [certificate, key, ca] = [
        ("component.crt", leaf.certificate_pem),
        ("component.key", leaf.key_pem),
        ("both.crt", cluster.authority.certificate_pem()),
    ]
    .map(|(file, pem)| {
        let path = cluster.dir.path().join(file);
        write_private(&path, pem.as_bytes()).unwrap();
        path.display().to_string()
    });
    let tls = ["-tls-cert", &certificate, "-tls-key", &key];
    let component = Component::start(&kubeconfig, "virt-controller", &tls);
    let verified = ["--component-metrics-ca", &ca];
    let wrong_name = over_a_second(&proxy, &component, &verified);
    assert_eq!(wrong_name.status.code(), Some(1));
    let named = ["--component-metrics-server-name", name];
    for trust in [
        &["--component-metrics-insecure"][..],
        &[verified, named].concat(),
    ] {
        let mut load = component.begin("/load?requests=10000000");
        wait_for_calls(&proxy);
        let output = over_a_second(&proxy, &component, trust);
        load.kill().unwrap();
        load.wait().unwrap();
        check_busy(&output);
    }
}

fn check_busy(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let check: Crosscheck = serde_json::from_str(&text).unwrap();
    let mut rows = check.components[0].rows.iter();
    assert!(rows.any(|row| row.at_the_ends > 0 && row.own > 0), "{text}");
    let of = |name: &str| check.values[name];
    assert!(of("virtControllerWorkqueueAddRate") > 1.0, "{text}");
    assert!(of("virtControllerWorkqueueDepth") <= 2.0, "{text}");
    // All waited 5 ms, which is in the bucket from 1 to 10 ms.
    let waited = of("virtControllerWorkqueueP99Latency");
    assert!((0.001..=0.01).contains(&waited), "{text}");
}

/// KubeVirt's components, simulated, behind the proxy.
async fn simulate(cluster: &Cluster, proxy: &ProxyProcess) -> Simulation {
    let client = cluster.cluster.admin_client().unwrap();
    let tokens = cluster.cluster.prepare_kubevirt(&[]).await.unwrap();
    let connect = |identity: &Identity| {
        let account = (identity.namespace.to_owned(), identity.account.to_owned());
        let token = tokens.get(&account).cloned().unwrap_or_default();
        lab::client(&proxy.url, &cluster.authority, &token, identity.program)
    };
    let simulation = Simulation::start(&client, &connect, None, 2).await;
    simulation.unwrap()
}

/// The proxy's counters of the creation of pods.
fn creations(proxy: &ProxyProcess) -> Vec<String> {
    let page = proxy.metrics();
    let lines = page
        .lines()
        .filter(|line| line.contains("verb=\"create\"") && line.contains("resource=\"pods\""));
    lines.map(str::to_owned).collect()
}

/// `kubetoll run` with results in `dir`, and the component asked for `what` when the first pod has
/// been created. The component's metrics are also taken for those of the simulated virt-controller.
fn run_and_ask(
    (cluster, proxy, component): (&Cluster, &ProxyProcess, &Component),
    more: &[&str],
    what: &str,
) -> Output {
    let credential = Credential::Token(cluster.cluster.admin_token().to_owned());
    let (url, ca) = (cluster.cluster.url(), cluster.cluster.ca_pem());
    let kubeconfig = cluster
        .cluster
        .write_kubeconfig_for("driver", &url, &ca, &credential);
    let before = creations(proxy);
    let mut run = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .args(["run", "vmi", "--count", "4", "--pause", "1s", "--no-primer"])
        .args(["--baseline", "1s", "--settle", "1s", "--sample", "100ms"])
        .args(["--proxy", &proxy.admin, "--kubeconfig"])
        .arg(kubeconfig.unwrap())
        .args(["virt-operator", "virt-controller"].map(|name| {
            let endpoint = &component.metrics;
            format!("--component-metrics={name}={endpoint}?n={TOKEN}")
        }))
        .args(more)
        .env("KUBETOLL_STORE", history::scratch())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while creations(proxy) == before {
        assert_eq!(run.try_wait().unwrap(), None, "it ended before it created");
    }
    component.ask(what);
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains(TOKEN) && !printed.contains(TOKEN));
    // What a component's metric misses is no fault of the run.
    assert_eq!(output.status.code(), Some(0), "{said}");
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_the_components_figures_of_its_own_window() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let proxy = cluster.proxy(&[]);
    let simulation = simulate(&cluster, &proxy).await;
    let kubeconfig = cluster.kubeconfig("component", &proxy);
    let component = Component::start(&kubeconfig, "virt-operator", &[]);
    component.ask("/load?requests=32");

    let site = (&cluster, &proxy, &component);
    let results = tempfile::tempdir().unwrap();
    let dir = results.path().to_str().unwrap();
    let more = ["--output", "json", "--results-dir", dir];
    let output = run_and_ask(site, &more, "/load?requests=160");
    let result: RunResult = serde_json::from_slice(&output.stdout).unwrap();
    let read = |name: &str| fs::read(results.path().join(name)).unwrap();
    let record: RunRecord = serde_json::from_slice(&read("record.json")).unwrap();
    assert_eq!(result.crosscheck, record.crosscheck);
    let check = result.crosscheck.unwrap();
    check_window(&check, &record);

    let [missing, whole] = &check.components[..] else {
        panic!("{:?}", check.components);
    };
    assert_eq!(whole.component, "virt-operator");
    let is_equal = |row: &CrosscheckRow| row.finding == Finding::Equal;
    assert!(whole.rows.iter().all(is_equal), "{:?}", whole.rows);
    assert_eq!(whole.rows.iter().map(|row| row.own).sum::<u64>(), 160);
    let mut missed = missing.rows.iter();
    assert!(missed.any(|row| row.finding == Finding::Missed && row.resource == "pods"));

    let file: PerfAuditResults =
        serde_json::from_slice(&read("VMI-perf-audit-results.json")).unwrap();
    assert_eq!(file.values["CREATE-pods-count"].value, 4.0);
    for (name, value) in &check.values {
        assert_eq!(file.values[name].value, *value, "{name}");
    }
    assert!(check.values["virtControllerWorkqueueAddRate"] > 1.0);
    assert!(check.values["avgVirtOperatorCPUUsage"] > 0.0);
    assert!(check.values["avgVirtControllerMemoryUsageInMB"] > 1.0);

    let output = run_and_ask(site, &[], "/forget");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_line(
        &text,
        "The components' own metrics while the books were open; what they miss doesn't change the \
         run's exit code",
    );
    for name in ["virt-controller", "virt-operator"] {
        assert_line(
            &text,
            &format!("NOT VALID: {}", started_anew(name, &component)),
        );
    }
    simulation.stop().await;
}

/// From after the books were opened and before anything was created, to after they were closed.
fn check_window(check: &Crosscheck, record: &RunRecord) {
    let books = &record.proxies[0];
    assert!(books.opened.taken <= check.opened);
    assert!(check.opened <= record.objects[0].create_sent);
    assert!(books.closed.snapshot.taken <= check.closed);
    let deleted = books.deletion.as_ref().unwrap();
    assert!(check.closed <= deleted.closed.taken);
}
