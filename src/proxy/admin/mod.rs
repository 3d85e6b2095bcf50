//! The proxy's own port: plain HTTP, apart from the data port, which reserves no path.
//!
//! | route | what |
//! | --- | --- |
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 while it accepts requests, 503 while it drains |
//! | `GET /metrics` | Prometheus's text format |
//! | `GET /snapshot` | one instant of the books |
//! | `PUT /runs/ID` | opens a run (`record::OpenRun`), gives the snapshot of that instant |
//! | `GET /runs/ID?namespace=N` | a snapshot and the run's requests for that namespace; the run's lease starts anew |
//! | `DELETE /runs/ID` | closes the run: snapshot and detail |
//!
//! All but `/livez`, `/readyz` and `/metrics` need the bearer token where there is one. A port on a
//! loopback address serves requests only whose `Host` is `localhost` or a loopback address.

mod access;
mod compat;
mod family;
mod metrics;
mod naming;
mod page;
mod places;
mod rendering;
mod reply;
mod routes;
mod runs;
mod server;
mod write_timeout;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;

use crate::Proxy;
use record::{ProxyInfo, Snapshot};

pub use server::serve;

/// What the admin port shows.
pub struct Admin {
    proxy: Arc<Proxy>,
    info: ProxyInfo,
    token: ArcSwapOption<Box<[u8]>>,
    lease: Mutex<Option<runs::Lease>>,
    certificates: Arc<Certificates>,
    exporter: metrics::Exporter,
}

/// How an admin port is set up.
#[derive(Default)]
pub struct Options {
    /// Tells this process from others.
    pub instance: String,
    /// What `/snapshot` and `/runs` ask for as a bearer token.
    pub token: Option<String>,
    /// Whether `/metrics` has KubeVirt's `kubevirt_rest_client_requests_total` too.
    pub compat_metrics: bool,
}

/// A certificate whose end the metrics tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certificate {
    /// What components see.
    Serving,
    /// The CA that the API server is verified with.
    UpstreamCa,
    /// The CA that clients' certificates are verified with.
    ClientCa,
    /// What an authenticating proxy shows to the API server.
    FrontProxy,
}

impl Certificate {
    fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::UpstreamCa => "upstream_ca",
            Self::ClientCa => "client_ca",
            Self::FrontProxy => "front_proxy",
        }
    }
}

/// When the certificates end that are in use.
#[derive(Default)]
struct Certificates(Mutex<BTreeMap<Certificate, i64>>);

impl Certificates {
    fn ends(&self) -> Vec<(&'static str, i64)> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.iter().map(|(one, end)| (one.as_str(), *end)).collect()
    }
}

impl Admin {
    /// The admin side of `proxy`.
    pub fn new(proxy: Arc<Proxy>, options: Options) -> Arc<Self> {
        let info = ProxyInfo {
            instance: options.instance,
            started: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            component: proxy.options.component.as_deref().map(str::to_owned),
            upstream: proxy.dialer.urls(),
        };
        let certificates = Arc::<Certificates>::default();
        let exporter = metrics::Exporter::new(&proxy, &info, &certificates, options.compat_metrics);
        let token = options.token.map(|token| token.into_bytes().into());
        Arc::new(Self {
            proxy,
            info,
            token: ArcSwapOption::from_pointee(token),
            lease: Mutex::new(None),
            certificates,
            exporter,
        })
    }

    /// Asks for another token from now on; says whether it is another one.
    pub fn set_token(&self, token: &str) -> bool {
        let old = self.token.load();
        let changed = old.as_ref().is_none_or(|old| ***old != *token.as_bytes());
        if changed {
            self.token.store(Some(Arc::new(token.as_bytes().into())));
        }
        changed
    }

    /// Notes when a certificate ends, in seconds of Unix time.
    pub fn note_end(&self, certificate: Certificate, ends: i64) {
        let ends_of = &self.certificates.0;
        let mut known = ends_of.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(certificate, ends);
    }

    fn snapshot(&self) -> Snapshot {
        self.record(self.proxy.books.snapshot())
    }

    fn record(&self, books: ledger::Snapshot) -> Snapshot {
        Snapshot::new(self.info.clone(), Timestamp::now(), books)
    }
}
