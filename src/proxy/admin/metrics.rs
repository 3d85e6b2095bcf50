//! The books as Prometheus metrics: a collector behind the `prometheus` crate's registry.
//!
//! The crate's own `*Vec` types are not used for counting: they key their children by a hash over
//! the label values without separators, so that different label sets can become one series.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus::{
    Encoder, Registry, TextEncoder,
    core::{Collector, Desc},
    proto::{Bucket, Histogram, MetricFamily, MetricType},
};

use super::{
    certificates::Certificates,
    compat,
    family::{counter, counter_family, family, gauge, gauge_family, labelled},
    naming::{Named, Naming},
    pieces::Pieces,
    watches,
};
use crate::{LastDial, Proxy};
use ledger::{BUCKETS_SECONDS, Outcome, Reason, RowCount, Snapshot};
use record::ProxyInfo;

/// Most series of `kubetoll_requests_total`; what comes after is summed as `overflow`.
const SERIES_MAX: usize = 20_000;

/// Writes the metrics of one proxy.
pub(super) struct Exporter {
    registry: Registry,
}

impl Exporter {
    /// With `compat`, KubeVirt's own family too.
    pub(super) fn new(
        proxy: &Arc<Proxy>,
        info: &ProxyInfo,
        certificates: &Arc<Certificates>,
        compat: bool,
    ) -> Self {
        let registry = Registry::new();
        let books = BooksCollector {
            proxy: Arc::clone(proxy),
            info: info.clone(),
            certificates: Arc::clone(certificates),
            naming: Naming::default(),
            compat,
        };
        registry
            .register(Box::new(books))
            .expect("a new registry has no other collector");
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry
            .register(Box::new(process))
            .expect("its names are not ours");
        Self { registry }
    }

    pub(super) fn text(&self) -> Result<Pieces, prometheus::Error> {
        let mut text = Pieces::default();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

struct BooksCollector {
    proxy: Arc<Proxy>,
    info: ProxyInfo,
    certificates: Arc<Certificates>,
    naming: Naming,
    compat: bool,
}

impl Collector for BooksCollector {
    /// No descriptions: the registry would check them against label sets that vary.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let books = self.proxy.books.snapshot();
        let rows = self.naming.of(&books);
        let mut families = vec![
            requests(&rows, self.info.component.as_deref()),
            non_resource_requests(&books),
            errors(&books),
            in_flight(&books),
            bytes(
                &books,
                "kubetoll_request_bytes_total",
                "Bytes of request bodies.",
                |row| row.request_bytes,
            ),
            bytes(
                &books,
                "kubetoll_response_bytes_total",
                "Bytes of response bodies.",
                |row| row.response_bytes,
            ),
            head_seconds(&books),
            watches::events(&books),
            watches::unread(&books),
            self.connections(),
            counter_family(
                "kubetoll_ledger_overflow_total",
                "Requests counted in the overflow row because the books were full.",
                vec![counter(&[], books.overflowed)],
            ),
            Self::single(
                "kubetoll_client_certificates_refused_total",
                "Requests refused because their client's certificate can't be passed on.",
                &self.proxy.connections.certificates_refused,
            ),
            Self::single(
                "kubetoll_upstream_repeats_total",
                "Requests sent again: not looked at by the API server, or reads on a connection that it \
                 closed.",
                &self.proxy.connections.repeated,
            ),
            Self::single(
                "kubetoll_bodies_not_kept_total",
                "Request bodies not kept for sending them again, since --resend-memory was used up.",
                &self.proxy.connections.bodies_not_kept,
            ),
            self.build_info(),
            self.certificate_ends(),
            self.upstream_reached(),
        ];
        if self.compat {
            families.push(compat::requests(&rows, &self.info, SERIES_MAX));
        }
        families
    }
}

impl BooksCollector {
    fn connections(&self) -> MetricFamily {
        let counters = &self.proxy.connections;
        let metrics = [
            ("downstream", "accepted", &counters.accepted),
            ("downstream", "closed", &counters.closed),
            (
                "downstream",
                "handshake_failed",
                &counters.handshakes_failed,
            ),
            ("downstream", "turned_away", &counters.turned_away),
            ("downstream", "unparsable", &counters.unparsable),
            ("downstream", "passed_through", &counters.passed_through),
            ("upstream", "opened", &counters.upstream_opened),
            ("upstream", "failed", &counters.upstream_failed),
        ]
        .map(|(side, event, value)| {
            let labels = [("side", side), ("event", event)];
            counter(&labels, value.load(Ordering::Relaxed))
        });
        counter_family(
            "kubetoll_connections_total",
            "Connections by what happened to them.",
            metrics.into(),
        )
    }

    fn single(name: &str, help: &str, value: &AtomicU64) -> MetricFamily {
        let value = value.load(Ordering::Relaxed);
        counter_family(name, help, vec![counter(&[], value)])
    }

    fn build_info(&self) -> MetricFamily {
        let labels = [("version", self.info.version.as_str())];
        gauge_family(
            "kubetoll_build_info",
            "The proxy's version.",
            vec![gauge(&labels, 1.0)],
        )
    }

    fn upstream_reached(&self) -> MetricFamily {
        let clients = Some(("false", &self.proxy.dialer));
        let front_proxy = self.proxy.front_proxy.as_ref();
        let dialers = clients
            .into_iter()
            .chain(front_proxy.map(|one| ("true", one)));
        let mut metrics = Vec::new();
        for (front_proxy, dialer) in dialers {
            for (address, last) in dialer.last_dials() {
                let reached = match last {
                    LastDial::None => continue,
                    LastDial::Reached => 1.0,
                    LastDial::Failed { .. } => 0.0,
                };
                let labels = [("address", address.as_str()), ("front_proxy", front_proxy)];
                metrics.push(gauge(&labels, reached));
            }
        }
        gauge_family(
            "kubetoll_upstream_reached",
            "Whether the last dial of an address of the API server ended in a TLS connection.",
            metrics,
        )
    }

    fn certificate_ends(&self) -> MetricFamily {
        let ends = self.certificates.ends();
        let metrics = ends
            .iter()
            .map(|(one, end)| gauge(&[("certificate", one.as_str())], *end as f64));
        gauge_family(
            "kubetoll_certificate_not_after_seconds",
            "Unix time at which a certificate ends: of a chain the first to end, of a CA file the last.",
            metrics.collect(),
        )
    }
}

/// The labels of a row; several rows can share them.
type Labels = [(&'static str, String); 8];

fn requests(rows: &[Named<'_>], component: Option<&str>) -> MetricFamily {
    let mut series = known_series(component);
    for one in rows {
        let name = one.row.name();
        if name.resource.is_empty() && !name.is_overflow() {
            continue;
        }
        for (exists, count) in [(true, one.named), (false, one.unnamed)] {
            if count > 0 {
                let labels = within_limit(&series, labels(one.row, exists));
                *series.entry(labels).or_default() += count;
            }
        }
    }
    let metrics = series.iter().map(|(labels, count)| {
        let labels = labels
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        counter(&labels, *count)
    });
    counter_family(
        "kubetoll_requests_total",
        "Requests for resources, when answered; no code and a reason where no response came.",
        metrics.collect(),
    )
}

fn within_limit(series: &BTreeMap<Labels, u64>, mut labels: Labels) -> Labels {
    if series.len() >= SERIES_MAX && !series.contains_key(&labels) {
        for (name, value) in &mut labels {
            *value = if *name == "resource" {
                "overflow".into()
            } else {
                String::new()
            };
        }
    }
    labels
}

/// What KubeVirt's benchmarks look at, at 0 from the start: a counter that appears with its first
/// request has no increase for Prometheus.
fn known_series(component: Option<&str>) -> BTreeMap<Labels, u64> {
    const COMPONENTS: [&str; 4] = [
        "virt-api",
        "virt-controller",
        "virt-handler",
        "virt-operator",
    ];
    const RESOURCES: [(&str, &str); 5] = [
        ("", "endpoints"),
        ("", "nodes"),
        ("", "pods"),
        ("kubevirt.io", "virtualmachineinstancemigrations"),
        ("kubevirt.io", "virtualmachineinstances"),
    ];
    const VERBS: [(&str, &str); 7] = [
        ("create", "201"),
        ("delete", "200"),
        ("get", "200"),
        ("list", "200"),
        ("patch", "200"),
        ("update", "200"),
        ("watch", "200"),
    ];
    let given = component.as_slice();
    let components = if given.is_empty() {
        &COMPONENTS[..]
    } else {
        given
    };
    let mut series = BTreeMap::new();
    for component in components {
        for (group, resource) in RESOURCES {
            for (verb, code) in VERBS {
                let labels = [
                    ("component", *component),
                    ("verb", verb),
                    ("group", group),
                    ("version", "v1"),
                    ("resource", resource),
                    ("subresource", ""),
                    ("code", code),
                    ("reason", ""),
                ];
                series.insert(labels.map(|(name, value)| (name, value.to_owned())), 0);
            }
        }
    }
    series
}

fn labels(row: &RowCount, exists: bool) -> Labels {
    let name = row.name();
    let (code, reason) = code_and_reason(row.outcome);
    let known = |part: &str| {
        if exists {
            part.to_owned()
        } else {
            String::new()
        }
    };
    let resource = if name.is_overflow() {
        "overflow"
    } else if exists {
        name.resource
    } else {
        "unproven"
    };
    [
        ("component", row.component.clone()),
        ("verb", name.verb.to_owned()),
        ("group", known(name.group)),
        ("version", known(name.version)),
        ("resource", resource.to_owned()),
        ("subresource", known(name.subresource)),
        ("code", code),
        ("reason", reason.to_owned()),
    ]
}

fn code_and_reason(outcome: Outcome) -> (String, &'static str) {
    match outcome {
        Outcome::Code(code) => (code.to_string(), ""),
        Outcome::NoAnswer(reason) => (String::new(), reason.as_str()),
    }
}

fn non_resource_requests(books: &Snapshot) -> MetricFamily {
    let mut series: BTreeMap<[String; 4], u64> = BTreeMap::new();
    for row in books.rows.iter().filter(|row| !row.name().path.is_empty()) {
        let (code, _) = code_and_reason(row.outcome);
        let name = row.name();
        let key = [
            row.component.clone(),
            name.verb.into(),
            name.path.into(),
            code,
        ];
        *series.entry(key).or_default() += row.answered;
    }
    let metrics = series.iter().map(|([component, verb, path, code], count)| {
        let labels = [
            ("component", component.as_str()),
            ("verb", verb),
            ("path", path),
            ("code", code),
        ];
        counter(&labels, *count)
    });
    counter_family(
        "kubetoll_nonresource_requests_total",
        "Requests for other paths, by class of the path, when answered.",
        metrics.collect(),
    )
}

fn errors(books: &Snapshot) -> MetricFamily {
    let metrics = Reason::ALL.map(|reason| {
        let rows = books.rows.iter();
        let rows = rows.filter(|row| row.outcome == Outcome::NoAnswer(reason));
        counter(
            &[("reason", reason.as_str())],
            rows.map(|row| row.answered).sum(),
        )
    });
    counter_family(
        "kubetoll_errors_total",
        "Requests that got no response of the API server.",
        metrics.into(),
    )
}

fn in_flight(books: &Snapshot) -> MetricFamily {
    let (mut watches, mut others) = (0, 0);
    for call in &books.calls {
        let slot = if call.name().verb == "watch" {
            &mut watches
        } else {
            &mut others
        };
        *slot += call.in_flight();
    }
    let metrics = [("watch", watches), ("other", others)]
        .map(|(kind, count)| gauge(&[("kind", kind)], count as f64));
    gauge_family(
        "kubetoll_requests_in_flight",
        "Requests whose response has not ended.",
        metrics.into(),
    )
}

fn bytes(books: &Snapshot, name: &str, help: &str, of: impl Fn(&RowCount) -> u64) -> MetricFamily {
    let mut series: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for row in &books.rows {
        *series.entry((&row.component, row.name().verb)).or_default() += of(row);
    }
    let metrics = series.iter().map(|((component, verb), count)| {
        counter(&[("component", component), ("verb", verb)], *count)
    });
    counter_family(name, help, metrics.collect())
}

fn head_seconds(books: &Snapshot) -> MetricFamily {
    let mut series: BTreeMap<(&str, &str), ([u64; BUCKETS_SECONDS.len() + 1], f64)> =
        BTreeMap::new();
    for row in &books.rows {
        let (buckets, sum) = series
            .entry((&row.component, row.name().verb))
            .or_insert(([0; BUCKETS_SECONDS.len() + 1], 0.0));
        for (all, one) in buckets.iter_mut().zip(row.to_head.buckets) {
            *all += one;
        }
        *sum += row.to_head.sum_seconds;
    }
    let metrics = series.iter().map(|((component, verb), (buckets, sum))| {
        let mut metric = labelled(&[("component", component), ("verb", verb)]);
        metric.set_histogram(histogram(buckets, *sum));
        metric
    });
    family(
        "kubetoll_response_head_seconds",
        "Time from a request's head to its response's.",
        MetricType::HISTOGRAM,
        metrics.collect(),
    )
}

fn histogram(buckets: &[u64], sum: f64) -> Histogram {
    let mut cumulated = 0;
    let below = BUCKETS_SECONDS.iter().zip(buckets).map(|(bound, count)| {
        cumulated += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(cumulated);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(below.collect());
    histogram.set_sample_count(buckets.iter().sum());
    histogram.set_sample_sum(sum);
    histogram
}
