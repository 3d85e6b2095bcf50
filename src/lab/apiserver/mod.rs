//! An embedded Kubernetes API server: in the process, in memory, for density scenarios without a cluster.
//!
//! It speaks what the `kube` crate, client-go and kubectl need, over TLS with HTTP/2 and HTTP/1.1, and where it speaks it
//! means it: resourceVersions come from one counter, conflicts from races only, watches resume from a bounded history,
//! finalizers hold objects back, owners take their dependents with them.
//!
//! What it is not, where it differs from a real one:
//! - Objects are not validated against schemas (names are), and native types get a few defaults only.
//! - Server-side apply is a merge without field ownership; managedFields name the writers, not their fields.
//! - `core/v1` and `events.k8s.io/v1` events are stored apart. Each resource has one version.
//! - The garbage collector and the removal of a namespace's contents run in the process instead of calling the API, so
//!   that the calls of a kube-controller-manager are in no log. There is no scheduler and no kubelet.
//! - Bodies in protobuf are read for small types only (see `messages.rs`). Who writes pods or nodes by a typed client of
//!   client-go, which prefers protobuf, sets its `ContentType` to `application/json`. Answers are always JSON.
//! - A slow watch is dropped when its position has left the history of its resource type, not by a queue of its own.
//!
//! ```no_run
//! # async fn example(listener: tokio::net::TcpListener, tls: std::sync::Arc<rustls::ServerConfig>) {
//! use lab::apiserver::{ApiServer, Options, UserInfo};
//! let stop = tokio_util::sync::CancellationToken::new();
//! let server = ApiServer::new(Options::default());
//! let admin = UserInfo { name: "admin".to_owned(), groups: vec!["system:masters".to_owned()] };
//! server.add_token("a-long-random-token", admin);
//! tokio::spawn(server.clone().serve(listener, tls, stop.clone()));
//! # }
//! ```

mod access;
mod admission;
mod answer;
mod call;
mod create;
mod discovery;
mod dispatch;
mod fault;
mod gc;
mod http;
mod log;
mod messages;
mod meta;
mod native;
mod object;
mod openapi;
mod patch;
mod pods;
mod protobuf;
mod query;
mod read;
mod registry;
mod remove;
mod resources;
mod route;
mod selector;
mod status;
mod store;
mod strategic;
mod update;
mod view;
mod watch;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::access::{DenyHook, UserInfo};
pub use self::admission::{AdmissionHook, AdmissionRequest, AdmissionResponse};
pub use self::fault::Fault;
pub use self::log::LoggedRequest;

use self::access::Access;
use self::admission::Admission;
use self::fault::Faults;
use self::log::RequestLog;
use self::store::Store;

/// How a server is set up.
#[derive(Clone)]
pub struct Options {
    /// `gitVersion` of `/version`.
    pub git_version: String,
    /// How many events each resource type remembers; a watch that is further behind gets 410.
    pub history: usize,
    /// How many requests the log keeps; later ones are only counted.
    pub log_limit: usize,
    /// How often a watch with `allowWatchBookmarks` gets one.
    pub bookmark_interval: Duration,
    /// How long a watch without `timeoutSeconds` lives at least; at most twice as long.
    pub watch_timeout: Duration,
    /// Denies a user something; nobody is denied anything without it. Not asked for `system:masters`.
    pub deny: Option<Arc<DenyHook>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            git_version: "v1.34.4".to_owned(),
            history: 10_000,
            log_limit: 1_000_000,
            bookmark_interval: Duration::from_secs(60),
            watch_timeout: Duration::from_secs(1800),
            deny: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Options")
            .field("git_version", &self.git_version)
            .finish_non_exhaustive()
    }
}

/// The server. Its state lives as long as it does; it may serve on several listeners.
#[derive(Debug)]
pub struct ApiServer {
    options: Options,
    store: Store,
    access: Access,
    admission: Admission,
    log: Arc<RequestLog>,
    faults: Faults,
    /// Held by the collector that is at work: one for all listeners.
    collecting: tokio::sync::Mutex<()>,
}

impl ApiServer {
    /// A server with the namespaces that every cluster has, and with KubeVirt's CustomResourceDefinitions.
    #[must_use]
    pub fn new(options: Options) -> Arc<Self> {
        let server = Self {
            store: Store::new(options.history),
            access: Access::new(options.deny.clone()),
            admission: Admission::default(),
            log: Arc::new(RequestLog::new(options.log_limit)),
            faults: Faults::new(),
            collecting: tokio::sync::Mutex::default(),
            options,
        };
        native::populate(&server.store);
        Arc::new(server)
    }

    /// Answers connections until `stop` is cancelled; then watches end, open requests get five seconds, and the future
    /// completes. `tls` should offer `h2` and `http/1.1` by ALPN; without ALPN a client gets HTTP/1.1.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        stop: CancellationToken,
    ) {
        http::serve(self, listener, tls, stop).await;
    }

    /// Makes `token` stand for `user`. Requests with an unknown token get 401, without one 403.
    pub fn add_token(&self, token: impl Into<String>, user: UserInfo) {
        self.access.add_token(token.into(), user);
    }

    /// From now on `hook` is asked before objects of `resources` (pairs of API group and plural name) are created or
    /// updated, through subresources too. Replaces the hook before.
    pub fn set_admission(&self, resources: &[(&str, &str)], hook: Arc<AdmissionHook>) {
        self.admission.set(resources, hook);
    }

    /// Orders a fault.
    pub fn inject(&self, fault: Fault) {
        match fault {
            Fault::ThrottleMutating(every) => self.faults.throttle(every),
            Fault::CutWatches => self.faults.cut_watches(),
            Fault::ExpireHistory => self.store.forget_history(),
            Fault::DelayBodies(delay) => self.faults.delay_bodies(delay),
        }
    }

    /// All logged requests in the order in which they were answered.
    #[must_use]
    pub fn request_log(&self) -> Vec<LoggedRequest> {
        self.log.from(1)
    }

    /// The logged requests from `seq` on.
    #[must_use]
    pub fn request_log_from(&self, seq: u64) -> Vec<LoggedRequest> {
        self.log.from(seq)
    }

    /// How many requests were answered since the start, also those that the log had no more room for.
    #[must_use]
    pub fn log_len(&self) -> u64 {
        self.log.seen()
    }
}
