//! The last look at books that are open: all that is left of a proxy that gives nothing at the end.

use std::{convert::Infallible, time::Duration};

use tokio::time::sleep;

use super::{at_once::ask_all, proxies::ProxyClient};
use record::Snapshot;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(5);

/// The newest snapshot of each proxy, in the proxies' order.
#[derive(Debug, Default)]
pub struct LastKnown(Vec<Option<Snapshot>>);

impl LastKnown {
    /// Looks at the run's books again and again until `work` is done.
    pub async fn look_during<T>(
        &mut self,
        (run, namespace): (&str, &str),
        proxies: &[ProxyClient],
        work: impl Future<Output = T>,
    ) -> T {
        tokio::select! {
            done = work => done,
            never = self.look((run, namespace), proxies) => match never {},
        }
    }

    async fn look(
        &mut self,
        (run, namespace): (&str, &str),
        proxies: &[ProxyClient],
    ) -> Infallible {
        self.0.resize_with(proxies.len(), || None);
        loop {
            sleep(PAUSE).await;
            let looks = ask_all(proxies, |proxy| proxy.look_at_run(run, namespace)).await;
            for (known, look) in self.0.iter_mut().zip(looks) {
                match look {
                    Ok(progress) => *known = Some(progress.snapshot),
                    // Whoever closes the books will say so.
                    Err(error) => tracing::debug!(%error, "no look at the books"),
                }
            }
        }
    }

    /// The newest snapshot of the proxy at this place.
    pub(super) fn take(&mut self, at: usize) -> Option<Snapshot> {
        self.0.get_mut(at)?.take()
    }
}
