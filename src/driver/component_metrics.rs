//! The components' own metrics and the proxies' books, read at the ends of a window.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use jiff::Timestamp;
use tokio::time::sleep;

use super::{
    at_once::try_ask_all,
    proxies::{ProxyClient, ProxyError},
    scrape::{ScrapeError, Scraper},
};
use record::Crosscheck;
use verify::crosscheck::{ExpositionError, Moment, Reading, Window};

/// How long nothing may have been answered before a reading is taken: what was answered has then
/// reached the component's counter.
const STILL: Duration = Duration::from_millis(100);
/// Longest wait for such a moment; then what came while a reading was taken is told apart.
const STILL_LONGEST: Duration = Duration::from_secs(5);

/// Metrics endpoints of components, and the proxies in front of these.
pub struct ComponentMetrics {
    proxies: Vec<ProxyClient>,
    endpoints: Vec<(String, Scraper)>,
    /// Readings have their time from here on.
    began: Instant,
}

/// Why something was not read.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A proxy gave no snapshot.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// An endpoint gave no page.
    #[error(transparent)]
    Scrape(#[from] ScrapeError),
    /// What an endpoint gave is not in Prometheus's text format.
    #[error("{url}")]
    BadPage {
        /// The endpoint, without its query.
        url: String,
        /// Where it is not.
        source: ExpositionError,
    },
}

impl ComponentMetrics {
    /// Of `endpoints`, each with its component's name in the books. Nothing is read yet.
    pub fn new(proxies: Vec<ProxyClient>, endpoints: Vec<(String, Scraper)>) -> Self {
        Self {
            proxies,
            endpoints,
            began: Instant::now(),
        }
    }

    /// Opens a window at the next moment in which nothing is answered.
    pub async fn open(&self) -> Result<Window, MetricsError> {
        let opened = self.moment().await?;
        let endpoints = self.endpoints.iter();
        let named = endpoints.map(|(component, scraper)| (component.as_str(), scraper.url()));
        Ok(Window::open(named, opened))
    }

    /// Closes it, and compares. What the components miss of the resources in `allowed` is known.
    pub async fn close(
        &self,
        window: Window,
        allowed: &BTreeSet<String>,
    ) -> Result<Crosscheck, MetricsError> {
        let closed = self.moment().await?;
        let proxies: Vec<&str> = self.proxies.iter().map(ProxyClient::url).collect();
        Ok(window.close(closed, &proxies, allowed))
    }

    /// One more reading in between. An endpoint that doesn't answer then is asked again at the end.
    pub async fn sample(&self, window: &mut Window) {
        match self.readings().await {
            Ok(readings) => window.see(readings),
            Err(error) => tracing::warn!(%error, "a sample is missing"),
        }
    }

    /// One reading of each endpoint, with its time in seconds.
    pub(super) async fn readings(&self) -> Result<Vec<(f64, Reading)>, MetricsError> {
        let all = self.endpoints.iter().map(|(_, scraper)| async move {
            let page = scraper.page().await?;
            let at = self.began.elapsed().as_secs_f64();
            let reading = Reading::parse(&page).map_err(|source| MetricsError::BadPage {
                url: scraper.url(),
                source,
            })?;
            Ok((at, reading))
        });
        try_join_all(all).await
    }

    /// Readings at a moment in which nothing is answered, if there is one.
    async fn moment(&self) -> Result<Moment, MetricsError> {
        let until = Instant::now() + STILL_LONGEST;
        loop {
            let before = try_ask_all(&self.proxies, ProxyClient::snapshot).await?;
            sleep(STILL).await;
            let readings = self.readings().await?;
            let after = try_ask_all(&self.proxies, ProxyClient::snapshot).await?;
            let moment = Moment {
                before,
                readings,
                after,
                taken: Timestamp::now(),
            };
            let components = self.endpoints.iter().map(|(name, _)| name.as_str());
            if moment.is_still(components) || Instant::now() > until {
                return Ok(moment);
            }
        }
    }
}
