//! What is known of books while they are open: all that is left of a proxy that gives nothing at the end.

use std::{convert::Infallible, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{
    proxies::{ProxyClient, ProxyError},
    spool::{Contents, Spool},
};
use record::{
    ClientRecord, JournalPosition, JournalRecord, KnownBooks, RunRecord, Snapshot, SpoolEntry,
    SpoolPage,
};

/// Pause between two looks at the books.
const PAUSE: Duration = Duration::from_secs(5);
/// Pause between two questions for lines: the most that a crash costs.
const LINES_PAUSE: Duration = Duration::from_secs(1);

/// The newest snapshot of each proxy, in the proxies' order, and where their lines are.
#[derive(Debug, Default)]
pub struct LastKnown {
    /// Whether the run keeps a journal.
    pub(super) journal: bool,
    proxies: Vec<Known>,
    spool: Option<Spool>,
    /// What the spool has, once somebody asked for it.
    contents: Option<Contents>,
}

#[derive(Debug, Default)]
struct Known {
    snapshot: Option<Snapshot>,
    /// How far its journal was taken; none of a proxy whose lines come at the end.
    position: Option<JournalPosition>,
}

impl LastKnown {
    /// Of the books that have been opened for `run`. With a journal, the lines of those proxies go to the
    /// spool that are reached directly: by the API server they would disturb what is measured.
    pub(super) fn begin(
        run: RunRecord,
        journal: bool,
        proxies: &[ProxyClient],
        spool: Option<&Spool>,
    ) -> Self {
        let is_spooled = journal && proxies.iter().any(ProxyClient::is_direct);
        let spool = spool.filter(|_| is_spooled);
        if let Some(Err(error)) = spool.map(|spool| spool.begin(run)) {
            tracing::error!(%error, "the journal is not kept on disk until the books are closed");
        }
        Self::new(journal, proxies, spool)
    }

    /// The same of the deletion of the run's objects, whose books were as in `opened`.
    pub(super) fn begin_deletion(
        journal: bool,
        opened: &[Snapshot],
        proxies: &[ProxyClient],
        spool: Option<&Spool>,
    ) -> Self {
        if let Some(spool) = spool {
            spool.add(&SpoolEntry::Deletion(opened.to_vec()));
        }
        Self::new(journal, proxies, spool)
    }

    fn new(journal: bool, proxies: &[ProxyClient], spool: Option<&Spool>) -> Self {
        let spool = spool.filter(|spool| spool.is_open()).cloned();
        let known = proxies.iter().map(|proxy| Known {
            snapshot: None,
            position: (spool.is_some() && proxy.is_direct()).then(JournalPosition::default),
        });
        Self {
            journal,
            proxies: known.collect(),
            spool,
            contents: None,
        }
    }

    /// Looks at the run's books again and again until `work` is done.
    pub async fn look_during<T>(
        &mut self,
        (run, namespace): (&str, &str),
        proxies: &[ProxyClient],
        work: impl Future<Output = T>,
    ) -> T {
        self.proxies.resize_with(proxies.len(), Known::default);
        let spool = self.spool.as_ref();
        let known = self.proxies.iter_mut().zip(proxies);
        let each = known.enumerate().map(|(place, (known, proxy))| {
            let of = Look {
                run,
                namespace,
                proxy,
                place,
                spool,
            };
            of.look(known)
        });
        tokio::select! {
            done = work => done,
            // There is at least one proxy, and its look has no end.
            _ = join_all(each) => std::future::pending().await,
        }
    }

    /// What is known of the proxy at this place.
    pub(super) fn take(&mut self, place: usize) -> KnownBooks {
        let snapshot = self.proxies.get_mut(place);
        let snapshot = snapshot.and_then(|known| known.snapshot.take());
        let mut known = self.spooled(place).unwrap_or_default();
        // The spool's has nothing of what is in flight.
        known.snapshot = snapshot.or(known.snapshot);
        known
    }

    fn spooled(&mut self, place: usize) -> Option<KnownBooks> {
        let spool = self.spool.as_ref().filter(|spool| spool.is_open())?;
        if self.contents.is_none() {
            let contents = spool.contents();
            let contents = contents.inspect_err(|error| {
                tracing::error!(%error, "the lines that had come can't be read");
            });
            self.contents = contents.ok();
        }
        let contents = self.contents.as_mut()?;
        let known = match &mut contents.deletion {
            Some((_, known)) => known,
            None => &mut contents.known,
        };
        known.get_mut(place).map(std::mem::take)
    }
}

/// One proxy that is looked at.
#[derive(Clone, Copy)]
struct Look<'a> {
    run: &'a str,
    namespace: &'a str,
    proxy: &'a ProxyClient,
    place: usize,
    spool: Option<&'a Spool>,
}

impl Look<'_> {
    /// By itself, so that none waits for one that does not answer.
    async fn look(self, known: &mut Known) -> Infallible {
        let mut looked = Instant::now();
        loop {
            let takes_lines = known.position.is_some();
            sleep(if takes_lines { LINES_PAUSE } else { PAUSE }).await;
            if takes_lines && self.take_lines(known).await {
                looked = Instant::now();
            }
            if looked.elapsed() >= PAUSE {
                self.look_at_books(known).await;
                looked = Instant::now();
            }
        }
    }

    async fn look_at_books(self, known: &mut Known) {
        match self.proxy.look_at_run(self.run, self.namespace).await {
            Ok(progress) => self.keep(known, progress.snapshot, Vec::new(), Vec::new()),
            // Whoever closes the books will say so.
            Err(error) => tracing::debug!(%error, "no look at the books"),
        }
    }

    /// Takes all lines that there are; says whether the books came with them.
    async fn take_lines(self, known: &mut Known) -> bool {
        let (mut came, mut has_more) = (false, true);
        while let (true, Some(position), Some(spool)) = (has_more, known.position, self.spool) {
            let page = match self.proxy.journal_page(self.run, position).await {
                Ok(page) => page,
                Err(error) => {
                    self.give_up(known, &error);
                    break;
                }
            };
            has_more = page.has_more;
            if let Some(snapshot) = page.snapshot {
                self.keep(known, snapshot, page.lines, page.clients);
                came = true;
            }
            known.position = spool.is_open().then_some(page.next);
        }
        came
    }

    fn keep(
        self,
        known: &mut Known,
        snapshot: Snapshot,
        lines: Vec<(usize, JournalRecord)>,
        clients: Vec<ClientRecord>,
    ) {
        if let Some(spool) = self.spool {
            spool.add(&SpoolEntry::Page(Box::new(SpoolPage {
                proxy: self.place,
                snapshot: Some(snapshot.changed_since(known.snapshot.as_ref())),
                lines,
                clients,
            })));
        }
        known.snapshot = Some(snapshot);
    }

    /// One that answers, and has no lines, is not asked again: they come at the end, if at all.
    fn give_up(self, known: &mut Known, error: &ProxyError) {
        if matches!(error, ProxyError::Unreachable { .. }) {
            tracing::debug!(%error, "no lines");
            return;
        }
        known.position = None;
        // Nothing is lost by it: a proxy without a token is right to refuse them.
        tracing::debug!("the journal comes when the books are closed, and not before: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::{Ready, ready},
        sync::{Arc, Mutex},
        task::{Context, Poll},
    };

    use http::{Request, Response};
    use kube::client::Body;
    use tower_service::Service;

    use super::*;
    use crate::transport::AdminTransport;
    use record::PodRecord;

    /// An API server that notes what it is asked for, and knows nothing.
    #[derive(Clone, Default)]
    struct Asked(Arc<Mutex<Vec<String>>>);

    impl Service<Request<Body>> for Asked {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Ready<Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            self.0.lock().unwrap().push(request.uri().to_string());
            ready(Ok(Response::new(Body::empty())))
        }
    }

    fn pod() -> PodRecord {
        PodRecord {
            component: "virt-api".to_owned(),
            namespace: "kubevirt".to_owned(),
            name: "virt-api-1".to_owned(),
            uid: String::new(),
            node: String::new(),
            started: None,
            restarts: 0,
            via: "api-server".to_owned(),
        }
    }

    /// A look each 5 s, as without a journal, and no question for lines.
    #[tokio::test(start_paused = true)]
    async fn a_way_through_the_api_server_is_asked_for_no_lines() {
        let dir = tempfile::tempdir().unwrap();
        let asked = Asked::default();
        let client = kube::Client::new(asked.clone(), "default");
        let forward = AdminTransport::port_forward(client.clone(), "kubevirt", "virt-api-1", 1);
        assert!(!forward.is_direct());
        let way = AdminTransport::api_server(client, "kubevirt", "virt-api-1", 16444);
        let proxy = ProxyClient::of_pod(pod(), "virt-api-1".to_owned(), way, "token").unwrap();
        let proxies = [proxy];
        let spool = Spool::in_folder(dir.path());
        let plan = crate::measure::Plan {
            id: "run".to_owned(),
            scenario: String::new(),
            namespace: String::new(),
            journal: true,
            pairs: None,
            lease: Duration::ZERO,
            silence: Duration::ZERO,
            settle_longest: Duration::ZERO,
        };
        let opened = crate::measure::Opened {
            id: "run".to_owned(),
            started: jiff::Timestamp::UNIX_EPOCH,
            namespace: String::new(),
            proxies: Vec::new(),
        };
        let mut last = crate::measure::last_known(&plan, &opened, &proxies, Some(&spool));
        let work = sleep(Duration::from_secs(12));
        last.look_during(("run", "ns"), &proxies, work).await;
        let path =
            "/api/v1/namespaces/kubevirt/pods/http:virt-api-1:16444/proxy/runs/run?namespace=ns";
        assert_eq!(*asked.0.lock().unwrap(), [path, path]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
