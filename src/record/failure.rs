//! Why a run has no result, and what its objects wait for.

use serde::{Deserialize, Serialize};

/// What a run that ended early leaves behind besides its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    /// Why it ended.
    pub reason: FailureReason,
    /// What happened, for people, on one line.
    pub detail: String,
    /// What the rows are worth.
    pub books: BooksKept,
    /// The objects that were not Running, if there were some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_running: Option<NotRunning>,
}

/// Why a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// Not all objects came to Running in time.
    NotRunning,
    /// Not all objects were gone in time.
    NotGone,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// A proxy doesn't know the run any more.
    ProxyLost,
    /// A pod with a proxy was restarted, appeared or vanished.
    PodsChanged,
    /// A proxy gave no answer.
    ProxyUnreachable,
    /// A proxy answered, and did not do what was asked.
    ProxyRefused,
    /// The API server gave no answer.
    ApiServerUnreachable,
    /// The API server answered, and did not do what was asked.
    ApiServerRefused,
    /// The driver ended without having closed the books, as when it is killed.
    DriverEnded,
}

/// What there is of a failed run's books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BooksKept {
    /// Every proxy gave them when the run ended.
    Closed,
    /// Some proxies gave nothing at the end: of these the last look is kept, without namespaces.
    LastKnown,
    /// They were not open yet.
    None,
}

/// The objects of a run that were not Running when it ended, grouped by why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRunning {
    /// Objects that have been seen Running.
    pub running: usize,
    /// Objects that were created.
    pub count: usize,
    /// The largest groups first.
    pub groups: Vec<NotRunningGroup>,
    /// Objects of further groups, which are left out.
    #[serde(default)]
    pub left_out: usize,
    /// What could not be read, and why; one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// Objects that are not Running for the same reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRunningGroup {
    /// How many objects.
    pub count: usize,
    /// Their phase; empty where there is no VirtualMachineInstance, or none with a phase.
    pub phase: String,
    /// What the API server has about them; names that differ from object to object are `…`.
    pub causes: Vec<Cause>,
    /// The names of some of them.
    pub names: Vec<String>,
}

/// What an object's status or an event says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cause {
    /// Where it is said.
    pub source: CauseSource,
    /// The kind of the object that it is about, such as `Pod`.
    pub kind: String,
    /// The condition's type or the container's name; empty for an event.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The reason, in one word.
    pub reason: String,
    /// The message, shortened, on one line.
    pub message: String,
}

/// Where a cause is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseSource {
    /// An event of type Warning.
    Event,
    /// A container that waits.
    Container,
    /// A condition of the object's status.
    Condition,
}

impl FailureReason {
    /// In one sentence, without its end.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotRunning => "not all objects came to Running before the time was over",
            Self::NotGone => "not all objects were gone when the time was over",
            Self::Interrupted => "it was stopped by Ctrl-C or SIGTERM",
            Self::ProxyLost => "a proxy lost the run",
            Self::PodsChanged => "not the same proxies took part all the time",
            Self::ProxyUnreachable => "a proxy gave no answer",
            Self::ProxyRefused => "a proxy refused what was asked of it",
            Self::ApiServerUnreachable => "the API server gave no answer",
            Self::ApiServerRefused => "the API server refused what was asked of it",
            Self::DriverEnded => "the driver ended before the run's record was written",
        }
    }

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRunning => "not_running",
            Self::NotGone => "not_gone",
            Self::Interrupted => "interrupted",
            Self::ProxyLost => "proxy_lost",
            Self::PodsChanged => "pods_changed",
            Self::ProxyUnreachable => "proxy_unreachable",
            Self::ProxyRefused => "proxy_refused",
            Self::ApiServerUnreachable => "api_server_unreachable",
            Self::ApiServerRefused => "api_server_refused",
            Self::DriverEnded => "driver_ended",
        }
    }
}

impl BooksKept {
    /// In one sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Closed => {
                "The books were closed when the run ended: the rows are what was counted until then."
            }
            Self::LastKnown => {
                "Not every proxy gave its books when the run ended: of those the rows are what was \
                 last known, whatever namespace it named."
            }
            Self::None => "The books were not open yet: nothing was counted.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_called_the_same_everywhere() {
        for reason in [
            FailureReason::NotRunning,
            FailureReason::NotGone,
            FailureReason::Interrupted,
            FailureReason::ProxyLost,
            FailureReason::PodsChanged,
            FailureReason::ProxyUnreachable,
            FailureReason::ProxyRefused,
            FailureReason::ApiServerUnreachable,
            FailureReason::ApiServerRefused,
            FailureReason::DriverEnded,
        ] {
            let json = serde_json::to_value(reason).unwrap();
            assert_eq!(json, reason.as_str());
            let formats = include_str!("../../docs/FORMATS.md");
            assert!(formats.contains(&format!("`{}`", reason.as_str())));
        }
    }
}
