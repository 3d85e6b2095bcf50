//! What every step of a run needs, and what it keeps.

use jiff::Timestamp;
use kube::{Api, Client, api::DynamicObject};
use tokio_util::sync::CancellationToken;

use super::{
    client::{Tally, api},
    made::Made,
    plan::Plan,
    proxies::ProxyClient,
    roster::Roster,
    spool::Spool,
    window_hook::WindowHook,
};
use record::ClusterRecord;

/// Tells a person how far a run is.
pub trait Progress: Send + Sync {
    /// A new phase began, such as `create`.
    fn phase(&self, what: &str);
    /// Of the phase's `of` objects so many are done.
    fn step(&self, done: usize, of: usize);
    /// Something that may spoil the run, and doesn't end it.
    fn warn(&self, what: &str);
}

/// Where density runs take place, and who is told of them.
pub struct Driver<'a> {
    /// The API server, directly; its calls are counted by `tally`.
    pub client: Client,
    /// The driver's own calls.
    pub tally: Tally,
    /// The proxies that take part.
    pub proxies: Vec<ProxyClient>,
    /// The pods that they are in, where they were found on a cluster.
    pub roster: Option<&'a dyn Roster>,
    /// Where lines of the journal are kept until the run's record is written.
    pub spool: Option<&'a Spool>,
    /// What else is done when the books are open, and when they are closed.
    pub window_hook: Option<&'a dyn WindowHook>,
    /// Server and context for the record.
    pub cluster: ClusterRecord,
    /// Told of every phase and step.
    pub progress: &'a dyn Progress,
    /// Ends a run when it is cancelled, as Ctrl-C does; what the run made is removed.
    pub stop: CancellationToken,
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) driver: &'a Driver<'a>,
    pub(super) plan: &'a Plan,
    /// `run-SECONDS-SUFFIX`, by the time at which it began.
    pub(super) id: String,
    pub(super) namespace: String,
    /// What it made so far, and may remove again.
    pub(super) made: Made,
    pub(super) started: Timestamp,
    /// Server, context, versions and namespace for the record.
    pub(super) cluster: ClusterRecord,
}

impl Run<'_> {
    pub(super) fn phase(&self, what: &str) {
        self.driver.progress.phase(what);
    }

    /// The id under which the proxies count what the run's deletion costs.
    pub(super) fn deletion_id(&self) -> String {
        format!("{}-delete", self.id)
    }

    /// Objects of the kind that the run creates, in its namespace.
    pub(super) fn objects(&self) -> Api<DynamicObject> {
        api(&self.driver.client, &self.namespace, self.plan.spec.kind())
    }
}
