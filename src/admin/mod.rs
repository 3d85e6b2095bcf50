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
//! All but `/livez`, `/readyz` and `/metrics` need the bearer token where there is one.

mod metrics;
mod runs;
mod server;

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;

use crate::{
    proxy::Proxy,
    record::{ProxyInfo, Snapshot},
};

pub use server::serve;

/// What the admin port shows.
pub struct Admin {
    proxy: Arc<Proxy>,
    info: ProxyInfo,
    token: ArcSwapOption<Box<[u8]>>,
    lease: Mutex<Option<runs::Lease>>,
    exporter: metrics::Exporter,
}

impl Admin {
    /// The admin side of `proxy`. `instance` tells this process from others; requests need `token`
    /// where one is given.
    pub fn new(proxy: Arc<Proxy>, instance: String, token: Option<&str>) -> Arc<Self> {
        let info = ProxyInfo {
            instance,
            started: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            component: proxy.options.component.as_deref().map(str::to_owned),
            upstream: proxy.dialer.urls(),
        };
        let exporter = metrics::Exporter::new(&proxy, &info);
        Arc::new(Self {
            proxy,
            info,
            token: ArcSwapOption::from_pointee(token.map(|token| token.as_bytes().into())),
            lease: Mutex::new(None),
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

    fn record(&self, books: crate::ledger::Snapshot) -> Snapshot {
        Snapshot::new(self.info.clone(), Timestamp::now(), books)
    }
}
