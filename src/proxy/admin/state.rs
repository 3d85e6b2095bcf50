//! What the admin port shows.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;

use super::{
    certificates::{Certificate, Certificates},
    lease::Lease,
    metrics::Exporter,
};
use crate::Proxy;
use record::{ProxyInfo, RecentRequests, Snapshot};

/// What the admin port shows.
pub struct Admin {
    pub(super) proxy: Arc<Proxy>,
    info: ProxyInfo,
    pub(super) token: ArcSwapOption<Box<[u8]>>,
    pub(super) lease: Mutex<Option<Lease>>,
    certificates: Arc<Certificates>,
    pub(super) exporter: Exporter,
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
        let exporter = Exporter::new(&proxy, &info, &certificates, options.compat_metrics);
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
        self.certificates.note_end(certificate, ends);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.record(self.proxy.books.snapshot())
    }

    /// The last requests, if they are kept.
    pub(super) fn recent(&self) -> Option<RecentRequests> {
        let (books, lines) = self.proxy.books.recent()?;
        let clients = self.proxy.recorder.clients.all();
        Some(RecentRequests::new(self.record(books), &lines, clients))
    }

    pub(super) fn record(&self, books: ledger::Snapshot) -> Snapshot {
        self.record_at(books, Timestamp::now())
    }

    pub(super) fn record_at(&self, books: ledger::Snapshot, taken: Timestamp) -> Snapshot {
        Snapshot::new(self.info.clone(), taken, books)
    }
}
