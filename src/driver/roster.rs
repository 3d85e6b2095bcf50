//! Who takes part in a run, where that can change under it.

use std::{future::Future, pin::Pin};

use super::proxies::ProxyError;
use record::Check;

/// What a look at the pods gives: how they are not as they were when the run began, each in words;
/// or why that is not known.
pub type Changes<'a> = Pin<Box<dyn Future<Output = Result<Vec<String>, String>> + Send + 'a>>;

/// The pods whose proxies take part.
pub trait Roster: Send + Sync {
    /// Looks at them again.
    fn changes(&self) -> Changes<'_>;
}

/// Whether the same pods took part from the beginning to now.
pub(super) async fn check_roster(roster: &dyn Roster) -> Check {
    let name = "the same pods took part all the time";
    match roster.changes().await {
        Ok(changes) if changes.is_empty() => {
            let detail = "none was restarted, appeared or vanished";
            Check::new(name, true, detail)
        }
        Ok(changes) => Check::new(name, false, changes.join("; ")),
        Err(reason) => Check::new(name, false, format!("can't look at them again: {reason}")),
    }
}

/// Why a proxy does not answer, if its pod is not what it was.
pub(super) async fn explain(error: ProxyError, roster: Option<&dyn Roster>) -> ProxyError {
    let changes = match roster {
        Some(roster) => roster.changes().await.unwrap_or_default(),
        None => Vec::new(),
    };
    if changes.is_empty() {
        error
    } else {
        ProxyError::Changed(changes)
    }
}
