//! What Prometheus reads from a proxy: a real Prometheus against the books, promtool on the page,
//! the ends of certificates, and KubeVirt's own metric beside a component's own counter.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use classify::is_known_resource;
use cluster::kubeconfig::write_private;
use identity::mint::{Authority, not_after};
use record::{ProxyRun, RowRecord, RunRecord};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{
    component::{Cluster, Component},
    history,
    process::ProxyProcess,
    prometheus::{Job, Prometheus, check_metrics},
    real,
};

/// Opens or closes the books of proxies under a name.
fn measure(cluster: &Cluster, arguments: &[&str]) {
    let status = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .arg("measure")
        .args(arguments)
        .env("KUBETOLL_STORE", history::scratch())
        .env("XDG_STATE_HOME", cluster.dir.path())
        .status();
    assert!(status.unwrap().success());
}

fn storm(kubeconfig: &str, requests: &str) -> Child {
    Command::new(real::program("storm").unwrap())
        .args(["-kubeconfig", kubeconfig, "-requests", requests])
        .args([
            "-namespace",
            Path::new(kubeconfig).file_stem().unwrap().to_str().unwrap(),
        ])
        .spawn()
        .unwrap()
}

fn load(kubeconfigs: &[String], requests: &str) {
    let storms: Vec<_> = kubeconfigs.iter().map(|one| storm(one, requests)).collect();
    for mut storm in storms {
        assert!(storm.wait().unwrap().success());
    }
}

const NAMES: [&str; 8] = [
    "component",
    "verb",
    "group",
    "version",
    "resource",
    "subresource",
    "code",
    "reason",
];
const PATHS: [&str; 4] = ["component", "verb", "path", "code"];

/// The counters of a selector by the given labels, in the order of those.
fn counters<const N: usize>(
    prometheus: &Prometheus,
    selector: &str,
    labels: [&str; N],
) -> BTreeMap<[String; N], f64> {
    let series = prometheus.query(selector);
    let mut counters = BTreeMap::new();
    for one in series {
        let values = labels.map(|name| one.labels.get(name).cloned().unwrap_or_default());
        *counters.entry(values).or_default() += one.value();
    }
    counters
}

fn less<K: Ord + Clone>(after: &BTreeMap<K, f64>, before: &BTreeMap<K, f64>) -> BTreeMap<K, u64> {
    let difference = |(key, now): (&K, &f64)| {
        let then = before.get(key).copied().unwrap_or_default();
        assert!(*now >= then, "a counter went down");
        (key.clone(), (now - then) as u64)
    };
    let differences = after.iter().map(difference);
    differences.filter(|(_, count)| *count > 0).collect()
}

/// The books of a run under the labels of `kubetoll_requests_total`.
fn rows(run: &ProxyRun) -> BTreeMap<[String; 8], u64> {
    let mut rows = BTreeMap::new();
    for row in run.difference.iter().filter(|row| row.call.path.is_empty()) {
        let call = &row.call;
        let [code, reason] = code_and_reason(row);
        let key = [
            &row.component,
            &call.verb,
            &call.group,
            &call.version,
            &call.resource,
            &call.subresource,
            &code,
            &reason,
        ];
        *rows.entry(key.map(Clone::clone)).or_default() += row.answered;
    }
    rows
}

/// The labels of an outcome, one of which is empty.
fn code_and_reason(row: &RowRecord) -> [String; 2] {
    let code = row.outcome.code().map(|code| code.to_string());
    let reason = row.outcome.reason().map(str::to_owned);
    [code, reason].map(Option::unwrap_or_default)
}

fn paths(run: &ProxyRun) -> BTreeMap<[String; 4], u64> {
    let mut paths = BTreeMap::new();
    for row in run
        .difference
        .iter()
        .filter(|row| !row.call.path.is_empty())
    {
        let [code, _] = code_and_reason(row);
        let key = [&row.component, &row.call.verb, &row.call.path, &code];
        *paths.entry(key.map(Clone::clone)).or_default() += row.answered;
    }
    paths
}

/// Equal row for row. Of a resource that Kubernetes doesn't have, requests before it was confirmed
/// are counted as `unproven`, and none is lost.
fn assert_equal(scraped: &BTreeMap<[String; 8], u64>, booked: &BTreeMap<[String; 8], u64>) {
    let (unproven, named): (Vec<_>, Vec<_>) = scraped
        .iter()
        .partition(|(labels, _)| labels[4] == "unproven");
    for (labels, count) in named {
        let in_books = booked.get(labels).copied().unwrap_or_default();
        assert!(
            *count <= in_books,
            "{labels:?}: {count}, {in_books} in the books"
        );
    }
    let mut missing = 0;
    for (labels, in_books) in booked {
        let count = scraped.get(labels).copied().unwrap_or_default();
        missing += in_books - count;
        assert!(
            count == *in_books || !is_known_resource(&labels[2], &labels[4]),
            "{labels:?}: {count}, {in_books} in the books"
        );
    }
    let unproven: u64 = unproven.iter().map(|(_, count)| **count).sum();
    assert_eq!(missing, unproven);
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_counts_what_the_books_of_two_proxies_count() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let proxies = [cluster.proxy(&[]), cluster.proxy(&["--compat-metrics"])];
    let jobs = ["one", "two"];
    let scraped = [0, 1].map(|at| Job {
        name: jobs[at],
        url: &proxies[at].admin,
        labels: &[],
    });
    let Some(prometheus) = Prometheus::start("500ms", &scraped) else {
        return;
    };
    let kubeconfigs = [0, 1].map(|at| cluster.kubeconfig(jobs[at], &proxies[at]));
    load(&kubeconfigs, "200");
    let look = || {
        prometheus.wait_for_scrapes(2);
        jobs.map(|job| {
            let of = |family: &str| format!("{family}{{job=\"{job}\"}}");
            (
                counters(&prometheus, &of("kubetoll_requests_total"), NAMES),
                counters(
                    &prometheus,
                    &of("kubetoll_nonresource_requests_total"),
                    PATHS,
                ),
            )
        })
    };
    let mut start = vec!["start", "scraped"];
    start.extend(proxies.iter().flat_map(|proxy| ["--proxy", &proxy.admin]));
    measure(&cluster, &start);
    let before = look();
    load(&kubeconfigs, "1000");
    let results = cluster.dir.path().join("results");
    measure(
        &cluster,
        &[
            "stop",
            "scraped",
            "--results-dir",
            results.to_str().unwrap(),
        ],
    );
    let after = look();
    let record = fs::read(results.join("record.json")).unwrap();
    let record: RunRecord = serde_json::from_slice(&record).unwrap();
    assert!(record.is_valid(), "{:?}", record.checks);
    for (run, (before, after)) in record.proxies.iter().zip(before.iter().zip(&after)) {
        let booked = rows(run);
        assert!(booked.len() > 50 && booked.values().sum::<u64>() > 900);
        assert_equal(&less(&after.0, &before.0), &booked);
        assert_eq!(less(&after.1, &before.1), paths(run));
    }
    let ends = "kubetoll_certificate_not_after_seconds - time()";
    let soon = prometheus.query(&format!("{ends} < 14 * 86400"));
    assert!(soon.is_empty(), "{soon:?}");
    let later = prometheus.query(&format!("{ends} >= 14 * 86400"));
    assert_eq!(later.len(), 4, "{later:?}");
    for proxy in &proxies {
        promtool_has_nothing_to_say(&proxy.metrics());
    }
}

fn promtool_has_nothing_to_say(page: &str) {
    let Some(output) = check_metrics(page) else {
        return;
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Writes a serving certificate that ends then, in seconds of Unix time.
fn write_serving(dir: &Path, ends: i64) {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let ends = jiff::Timestamp::from_second(ends).unwrap();
    let date = ends.to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = |value: i8| u8::try_from(value).unwrap();
    params.not_after = rcgen::date_time_ymd(date.year().into(), day(date.month()), day(date.day()));
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    write_private(&dir.join("tls.key"), key.serialize_pem().as_bytes()).unwrap();
    write_private(&dir.join("tls.crt"), certificate.pem().as_bytes()).unwrap();
}

fn ends(page: &str, certificate: &str) -> Option<i64> {
    let series =
        format!("kubetoll_certificate_not_after_seconds{{certificate=\"{certificate}\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&series))?;
    Some(value.parse().unwrap())
}

#[test]
fn the_metrics_tell_when_certificates_end_and_follow_a_renewal() {
    let dir = tempfile::tempdir().unwrap();
    write_serving(dir.path(), 1_900_022_400);
    let (old, new) = (
        Authority::new("old").unwrap(),
        Authority::new("new").unwrap(),
    );
    let ca = dir.path().join("ca.crt");
    fs::write(&ca, old.certificate_pem() + &new.certificate_pem()).unwrap();
    let upstream = ["--upstream", "https://127.0.0.1:1", "--upstream-ca"];
    let arguments = [&upstream[..], &[ca.to_str().unwrap()]].concat();
    let proxy = ProxyProcess::launch(dir.path(), &arguments);
    let page = proxy.metrics();
    assert_eq!(ends(&page, "serving"), Some(1_900_022_400));
    let of_ca = not_after(old.certificate_pem().as_bytes()).unwrap();
    assert_eq!(ends(&page, "upstream_ca"), Some(of_ca.as_second()));
    assert_eq!(ends(&page, "client_ca"), None);
    write_serving(dir.path(), 1_950_048_000);
    let began = Instant::now();
    while ends(&proxy.metrics(), "serving") != Some(1_950_048_000) {
        assert!(began.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(200));
    }
}

const FAMILY: &str = "kubevirt_rest_client_requests_total";

/// The two counters on one page, so that both are read at the same instants, as two pods; and how
/// many requests of a kind came between two readings, at most.
#[derive(Clone, Default)]
struct Both {
    pages: Vec<(&'static str, String)>,
    last: Arc<Mutex<BTreeMap<String, u64>>>,
    most: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Both {
    async fn serve(pages: [(&'static str, String); 2]) -> (Self, String) {
        let this = Self {
            pages: pages.to_vec(),
            ..Self::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = this.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let page = serving.page().await;
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
                let answer = format!("{head}Content-Length: {}\r\n\r\n{page}", page.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (this, url)
    }

    async fn page(&self) -> String {
        let [(one, first), (two, second)] = &self.pages[..] else {
            panic!("two pages");
        };
        let (first, second) = tokio::join!(get(first), get(second));
        let mut page = String::new();
        for (pod, text) in [(one, first), (two, second)] {
            let wanted = format!("{FAMILY}{{");
            let samples = text.lines().filter_map(|line| line.strip_prefix(&wanted));
            for sample in samples {
                self.note(pod, sample);
                page.push_str(&format!("{wanted}pod=\"{pod}\",{sample}\n"));
            }
        }
        page
    }

    fn note(&self, pod: &str, sample: &str) {
        let (labels, value) = sample.rsplit_once(' ').unwrap();
        let value: u64 = value.parse().unwrap();
        let mut last = self.last.lock().unwrap();
        let then = last.insert(format!("{pod} {labels}"), value).unwrap_or(0);
        let part = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\"")).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let key = format!("{}-{}", part("verb"), part("resource"));
        let mut most = self.most.lock().unwrap();
        let most = most.entry(key).or_default();
        *most = (*most).max(value - then);
    }
}

async fn get(url: &str) -> String {
    let (address, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

/// What perfscale-audit makes of a pod's counter: its query, and its sum without what increased by
/// less than one.
fn perfscale_audit(prometheus: &Prometheus, pod: &str) -> BTreeMap<String, f64> {
    let pods = "virt-controller.*|virt-handler.*|virt-operator.*|virt-api.*";
    let query = format!("increase({FAMILY}{{pod=~\"{pods}\"}}[30s] offset 1s)");
    let mut counts = BTreeMap::new();
    for series in prometheus.query(&query) {
        if series.labels["pod"] == pod && series.value() >= 1.0 {
            let key = format!("{}-{}", series.labels["verb"], series.labels["resource"]);
            *counts.entry(key).or_default() += series.value();
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn kubevirts_audit_reads_the_same_from_the_proxy_as_from_the_component() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let options = cluster.dir.path().join("proxy.yaml");
    fs::write(&options, "compat-metrics: true\n").unwrap();
    let proxy = cluster.proxy(&["--config", options.to_str().unwrap()]);
    let kubeconfig = cluster.kubeconfig("component", &proxy);
    let component = Component::start(&kubeconfig, "virt-controller", &[]);
    let (both, url) = Both::serve([
        ("virt-controller-own", component.metrics.clone()),
        ("virt-controller-wire", format!("{}/metrics", proxy.admin)),
    ])
    .await;
    let job = Job {
        name: "both",
        url: &url,
        labels: &[],
    };
    let Some(prometheus) = Prometheus::start("1s", &[job]) else {
        return;
    };
    component.ask("/load?requests=16");
    prometheus.wait_for_scrapes(1);
    for _ in 0..5 {
        component.ask("/load?requests=200");
        prometheus.wait_for_scrapes(1);
    }
    prometheus.wait_for_scrapes(1);
    let labels = ["code", "method", "resource", "verb"];
    let raw = |pod: &str| counters(&prometheus, &format!("{FAMILY}{{pod=\"{pod}\"}}"), labels);
    let (own, wire) = (raw("virt-controller-own"), raw("virt-controller-wire"));
    assert!(own.len() > 8, "{own:?}");
    assert_eq!(own, wire, "with nothing under way the counters are equal");
    let own = perfscale_audit(&prometheus, "virt-controller-own");
    let wire = perfscale_audit(&prometheus, "virt-controller-wire");
    assert!(
        own.len() > 5 && own.keys().eq(wire.keys()),
        "{own:?} {wire:?}"
    );
    let most = both.most.lock().unwrap();
    for (key, count) in &own {
        let (difference, arrivals) = ((count - wire[key]).abs(), most[key]);
        assert!(
            difference <= arrivals as f64,
            "{key}: {count} and {}",
            wire[key]
        );
    }
}
