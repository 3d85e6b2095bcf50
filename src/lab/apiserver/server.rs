//! The server's state, and what its owner asks of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::access::admission::{Admission, AdmissionHook};
use super::access::authorization::{Access, DenyHook};
use super::fault::{Fault, Faults};
use super::log::{LoggedRequest, RequestLog};
use super::requests::user::UserInfo;
use super::storage::bootstrap;
use super::storage::store::Store;

/// How a server is set up.
#[derive(Clone)]
pub struct Options {
    /// `gitVersion` of `/version`.
    pub git_version: String,
    /// How many events each resource type remembers, of 32 MiB, compressed, at most; a watch that is further behind gets 410.
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
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) access: Access,
    pub(crate) admission: Admission,
    pub(crate) log: Arc<RequestLog>,
    pub(crate) faults: Faults,
    /// Held by the collector that is at work: one for all listeners.
    pub(crate) collecting: tokio::sync::Mutex<()>,
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
        bootstrap::populate(&server.store);
        Arc::new(server)
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

    /// From now on the server fails in this way.
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
        self.log.from(1, |record| record)
    }

    /// The logged requests from `seq` on.
    #[must_use]
    pub fn request_log_from(&self, seq: u64) -> Vec<LoggedRequest> {
        self.log.from(seq, |record| record)
    }

    /// What `read` makes of each logged request, in the order in which they were answered. The log of a large run is not
    /// copied for it.
    pub fn read_log<T>(&self, read: impl FnMut(LoggedRequest) -> T) -> Vec<T> {
        self.log.from(1, read)
    }

    /// How many requests were answered since the start, also those that the log had no more room for.
    #[must_use]
    pub fn log_len(&self) -> u64 {
        self.log.seen()
    }
}
