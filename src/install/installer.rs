//! Whoever attaches, detaches and looks.

use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

/// What every command needs: a cluster, how long to wait, and whom to tell.
pub struct Installer<'a> {
    /// The API server, with the user's rights.
    pub client: Client,
    /// KubeVirt's namespace; looked for in all of them otherwise.
    pub namespace: Option<String>,
    /// Longest wait for one component: for its rollout, and then for its first calls.
    pub timeout: Duration,
    /// Ends every wait but those of putting back.
    pub stop: CancellationToken,
    /// Takes a line of progress.
    pub say: &'a (dyn Fn(&str) + Sync),
}
