//! What can go wrong with a run, and whose turn it is then.

use super::proxies::ProxyError;
use crate::workload::Kind;
use cluster::{causes::of_api_server, rights::Missing};
use record::{FailureReason, RunRecord, number_of, printable_line};

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The API server can't be reached, or doesn't know the driver.
    #[error("{message}")]
    NoApi {
        /// What happened and what to do.
        message: String,
    },
    /// The API server gave no answer during the run.
    #[error("{what}: {message}")]
    NoAnswer {
        /// What was being done.
        what: String,
        /// Why there was none.
        message: String,
    },
    /// The API server refused something.
    #[error("{what}: {message}")]
    Api {
        /// What was being done.
        what: String,
        /// What the API server says.
        message: String,
    },
    /// The API server doesn't have a kind.
    #[error(
        "the API server has no {} ({}/{}): KubeVirt is not installed, or too old for this scenario",
        .0.plural, .0.group, .0.version
    )]
    MissingKind(Kind),
    /// The user may not do what a run does.
    #[error("{0}")]
    NoRights(Missing),
    /// The namespace has objects of others, whose calls could not be told from the run's.
    #[error("namespace {namespace} has {count} {plural} already: choose an empty one")]
    ForeignObjects {
        /// The namespace that was given.
        namespace: String,
        /// How many objects of that kind are in it.
        count: usize,
        /// The kind's plural, such as `virtualmachines`.
        plural: &'static str,
    },
    /// A proxy doesn't do what was asked of it.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// What is to be created can't run on the nodes that there are.
    #[error(
        "no room for {}: the nodes that take virtual machines ({nodes}) have room for {}",
        number_of(*count as u64, "object"),
        number_of(*pods, "pod")
    )]
    NoRoom {
        /// How many objects were asked for.
        count: usize,
        /// Nodes that take virtual machines.
        nodes: usize,
        /// Pods that they can take together.
        pods: u64,
    },
    /// Not everything came to Running.
    #[error("only {running} of {count} VMIs were Running after {seconds} s{hint}")]
    NotRunning {
        /// VMIs that have been seen Running.
        running: usize,
        /// VMIs that were created.
        count: usize,
        /// The time-out in seconds.
        seconds: u64,
        /// How many VMIs are in which other phase; empty, or from `; ` on.
        hint: String,
    },
    /// Not everything was gone in time.
    #[error("{left} objects were left after {seconds} s")]
    NotGone {
        /// Objects that the watches still show.
        left: usize,
        /// The time-out in seconds.
        seconds: u64,
    },
    /// The run ended early, before all was created or before anything was counted.
    #[error("{cause}; {at}")]
    EndedAt {
        /// Why the run ended.
        cause: Box<Self>,
        /// How far it was.
        at: String,
    },
    /// The run ended early and what it made could not be removed.
    #[error("{cause}; {left}")]
    LeftBehind {
        /// Why the run ended.
        cause: Box<Self>,
        /// What is left, and why.
        left: Box<Self>,
    },
    /// The run was stopped by Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}

impl RunError {
    /// Why the run ended, whatever it left behind.
    pub fn cause(&self) -> &Self {
        match self {
            Self::LeftBehind { cause, .. } | Self::EndedAt { cause, .. } => cause.cause(),
            other => other,
        }
    }

    /// Whether what was counted so far is worth nothing: a proxy lost it, or another took its place.
    pub fn is_loss(&self) -> bool {
        matches!(self.cause(), Self::Proxy(error) if error.is_loss())
    }

    pub(super) fn api(what: impl Into<String>, error: kube::Error) -> Self {
        let (what, message) = (what.into(), describe(&error));
        match error {
            kube::Error::Api(_) => Self::Api { what, message },
            _ => Self::NoAnswer { what, message },
        }
    }

    /// Why a run that had begun has no result.
    pub(super) fn reason(&self) -> FailureReason {
        match self {
            Self::NotRunning { .. } => FailureReason::NotRunning,
            Self::NotGone { .. } => FailureReason::NotGone,
            Self::Interrupted => FailureReason::Interrupted,
            Self::Proxy(ProxyError::Lost { .. }) => FailureReason::ProxyLost,
            Self::Proxy(ProxyError::Changed(_)) => FailureReason::PodsChanged,
            Self::Proxy(ProxyError::Unreachable { .. }) => FailureReason::ProxyUnreachable,
            Self::Proxy(_) => FailureReason::ProxyRefused,
            Self::NoApi { .. } | Self::NoAnswer { .. } => FailureReason::ApiServerUnreachable,
            Self::LeftBehind { cause, .. } | Self::EndedAt { cause, .. } => cause.reason(),
            Self::Api { .. }
            | Self::MissingKind(_)
            | Self::NoRights(_)
            | Self::NoRoom { .. }
            | Self::ForeignObjects { .. } => FailureReason::ApiServerRefused,
        }
    }

    /// The same, with how far the run was if that is known.
    pub(super) fn ended_at(self, at: Option<String>) -> Self {
        match at {
            Some(at) => Self::EndedAt {
                cause: Box::new(self),
                at,
            },
            None => self,
        }
    }

    pub(super) fn no_api(error: &kube::Error) -> Self {
        let advice = match error {
            kube::Error::Api(status) if status.code == 401 => {
                "the credential is not valid, or has expired"
            }
            kube::Error::Api(_) => "the API server refuses this",
            _ => "is the cluster running, and is this its address and CA?",
        };
        Self::NoApi {
            message: format!("cannot use the API server ({advice}): {}", describe(error)),
        }
    }
}

/// A run that ended early.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct RunFailed {
    /// Why it ended.
    pub cause: RunError,
    /// What it came to until then, marked as failed; `None` if it had not begun: nothing was created.
    pub record: Option<Box<RunRecord>>,
}

impl From<RunError> for RunFailed {
    fn from(cause: RunError) -> Self {
        Self {
            cause,
            record: None,
        }
    }
}

/// On one line, whatever the API server made of it.
pub(super) fn describe(error: &kube::Error) -> String {
    printable_line(&of_api_server(error)).into_owned()
}
