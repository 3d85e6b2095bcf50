//! The components' own metrics, read at the ends of a window, and the wire's books beside them.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::pending,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use tokio::{sync::Mutex, time::sleep};

use super::{Exit, Misuse};
use driver::{HookFuture, WindowHook, proxies::ProxyClient, scrape::Scraper};
use identity::endpoint::Trust;
use record::{CROSSCHECK_SCHEMA, ComponentCheck, Crosscheck, Finding, Snapshot};
use terminal::duration;
use verify::crosscheck::{Reading, Watched, Wire, compare, values};

/// How long nothing may have been answered before a reading is taken: what was answered has then
/// reached the component's counter.
const STILL: Duration = Duration::from_millis(100);
/// Longest wait for such a moment; then what came while a reading was taken is told apart.
const STILL_LONGEST: Duration = Duration::from_secs(5);

/// Where the components' own metrics are.
#[derive(Debug, Args)]
pub(super) struct MetricsArgs {
    /// A component by its name in the books, and its metrics endpoint; repeatable, also for
    /// several pods of one component. Without a path it is /metrics.
    #[arg(long, value_name = "COMPONENT=URL")]
    component_metrics: Vec<String>,
    /// PEM file of the CA that signed the endpoints' certificates.
    #[arg(long, value_name = "FILE", requires = "component_metrics")]
    component_metrics_ca: Option<PathBuf>,
    /// Name that the endpoints' certificates must have, if it isn't the URL's host.
    #[arg(long, value_name = "NAME", requires = "component_metrics_ca")]
    component_metrics_server_name: Option<String>,
    /// File with a bearer token for the endpoints.
    #[arg(long, value_name = "FILE", requires = "component_metrics")]
    component_metrics_token_file: Option<PathBuf>,
    /// Take any certificate of the endpoints: whoever is in between can change what is read. Never
    /// with a token.
    #[arg(long, requires = "component_metrics", conflicts_with_all = ["component_metrics_ca", "component_metrics_token_file"])]
    component_metrics_insecure: bool,
    /// How often memory and the depth of work queues are read in between.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    pub(super) sample: Duration,
}

/// What is read.
pub(super) struct Site {
    proxies: Vec<ProxyClient>,
    endpoints: Vec<(String, Scraper)>,
    began: Instant,
}

/// A window of time that is not over.
pub(super) struct Window {
    opened: Moment,
    watched: Vec<Watched>,
}

/// Readings of all endpoints, and the books before and after them.
struct Moment {
    before: Vec<Snapshot>,
    readings: Vec<(f64, Reading)>,
    after: Vec<Snapshot>,
    taken: Timestamp,
}

impl MetricsArgs {
    /// Whether any endpoint was named.
    pub(super) fn is_given(&self) -> bool {
        !self.component_metrics.is_empty()
    }

    /// What is read of these endpoints and `proxies`.
    pub(super) fn site(&self, proxies: Vec<ProxyClient>) -> Result<Site> {
        Ok(Site {
            proxies,
            endpoints: self.endpoints()?,
            began: Instant::now(),
        })
    }

    /// The endpoints as a run reads them, if any was named: each must answer now.
    pub(super) async fn watch(&self, proxies: &[ProxyClient]) -> Result<Option<Watch>> {
        if !self.is_given() {
            return Ok(None);
        }
        let site = self.site(proxies.to_vec())?;
        site.readings().await?;
        Ok(Some(Watch {
            site,
            sample: self.sample,
            state: Mutex::new(State::Before),
        }))
    }

    fn endpoints(&self) -> Result<Vec<(String, Scraper)>> {
        let token = self.component_metrics_token_file.as_deref();
        let token = token.map(identity::read_token).transpose()?;
        let trust = match &self.component_metrics_ca {
            Some(ca) => Trust::Ca(ca.clone()),
            None if self.component_metrics_insecure => Trust::Anybody,
            None => Trust::Nobody,
        };
        let tls = trust.client_config()?;
        let endpoints = self.component_metrics.iter().map(|given| {
            let (component, url) = given
                .split_once('=')
                .filter(|(component, _)| !component.is_empty())
                .ok_or_else(|| Misuse("--component-metrics takes COMPONENT=URL".to_owned()))?;
            let about = |what: &dyn std::fmt::Display| {
                Misuse(format!("--component-metrics {component}=…: {what}"))
            };
            if url.starts_with("https:") && trust == Trust::Nobody {
                let advice = "give --component-metrics-ca, or --component-metrics-insecure";
                return Err(about(&advice).into());
            }
            let name = self.component_metrics_server_name.as_deref();
            let scraper = Scraper::new(url, token.as_deref(), tls.clone(), name);
            Ok((
                component.to_owned(),
                scraper.map_err(|error| about(&error))?,
            ))
        });
        endpoints.collect()
    }
}

impl Site {
    /// Opens a window at the next moment in which nothing is answered.
    pub(super) async fn open(&self) -> Result<Window> {
        let opened = self.moment().await?;
        let named = self.endpoints.iter().zip(&opened.readings);
        let watched = named.map(|((component, scraper), (at, reading))| {
            Watched::new(component, &scraper.url(), *at, reading.clone())
        });
        Ok(Window {
            watched: watched.collect(),
            opened,
        })
    }

    /// Closes it, and compares. What the components miss of the resources in `allowed` is known.
    pub(super) async fn close(
        &self,
        mut window: Window,
        allowed: &BTreeSet<String>,
    ) -> Result<Crosscheck> {
        let closed = self.moment().await?;
        for (one, (at, reading)) in window.watched.iter_mut().zip(&closed.readings) {
            one.see(*at, reading.clone());
        }
        let mut check = self.check(&window.opened, &closed, &window.watched, allowed);
        check.exit_code = verdict(&check).code();
        Ok(check)
    }

    fn check(
        &self,
        opened: &Moment,
        closed: &Moment,
        watched: &[Watched],
        allowed: &BTreeSet<String>,
    ) -> Crosscheck {
        let mut names: Vec<&str> = watched.iter().map(|one| one.component.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let (wires, mut problems) = wires(&self.proxies, opened, closed, &names);
        let components = names.iter().map(|name| {
            let of: Vec<_> = watched
                .iter()
                .filter(|one| one.component == *name)
                .collect();
            let restarted = of.iter().filter(|one| one.restarted());
            let before = problems.len();
            problems.extend(restarted.map(|one| {
                format!(
                    "{name} at {} or its counters were started anew in the window, so that its \
                     own counts of it are not known",
                    one.url
                )
            }));
            let wire = &wires[name];
            if wire.is_silent() {
                problems.push(format!(
                    "the proxies counted no call of {name}: nothing was compared"
                ));
            }
            ComponentCheck {
                component: (*name).to_owned(),
                endpoints: of.iter().map(|one| one.url.clone()).collect(),
                counter: of.iter().find_map(|one| one.counter()).map(str::to_owned),
                rows: if problems.len() == before {
                    compare(wire, &own(&of), allowed)
                } else {
                    Vec::new()
                },
            }
        });
        Crosscheck {
            schema: CROSSCHECK_SCHEMA.to_owned(),
            opened: opened.taken,
            closed: closed.taken,
            components: components.collect(),
            problems,
            values: values(watched),
            exit_code: 0,
            child_exit_code: None,
        }
    }

    /// Readings at a moment in which nothing is answered, if there is one.
    async fn moment(&self) -> Result<Moment> {
        let until = Instant::now() + STILL_LONGEST;
        loop {
            let before = self.snapshots().await?;
            sleep(STILL).await;
            let readings = self.readings().await?;
            let after = self.snapshots().await?;
            if self.is_still(&before, &after) || Instant::now() > until {
                return Ok(Moment {
                    before,
                    readings,
                    after,
                    taken: Timestamp::now(),
                });
            }
        }
    }

    fn is_still(&self, before: &[Snapshot], after: &[Snapshot]) -> bool {
        let named = |component: &str| self.endpoints.iter().any(|(name, _)| name == component);
        before.iter().zip(after).all(|(before, after)| {
            let answered = after.since(before).unwrap_or_default();
            let mut ours = answered.iter().filter(|row| named(&row.component));
            ours.all(|row| row.answered == 0)
        })
    }

    async fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let all = self.proxies.iter().map(ProxyClient::snapshot);
        Ok(try_join_all(all).await?)
    }

    /// One reading of each endpoint, with its time in seconds.
    async fn readings(&self) -> Result<Vec<(f64, Reading)>> {
        let all = self.endpoints.iter().map(|(_, scraper)| async move {
            let page = scraper.page().await?;
            let at = self.began.elapsed().as_secs_f64();
            let reading = Reading::parse(&page).with_context(|| scraper.url())?;
            Ok((at, reading))
        });
        try_join_all(all).await
    }

    /// An endpoint that doesn't answer in between is asked again at the end.
    pub(super) async fn sample(&self, window: &mut Window) {
        match self.readings().await {
            Ok(readings) => {
                for (one, (at, reading)) in window.watched.iter_mut().zip(readings) {
                    one.see(at, reading);
                }
            }
            Err(error) => tracing::warn!(%error, "a sample is missing"),
        }
    }
}

/// What all endpoints of a component counted.
fn own(endpoints: &[&Watched]) -> BTreeMap<[String; 3], u64> {
    let mut own = BTreeMap::new();
    for (call, count) in endpoints.iter().flat_map(|one| one.calls()) {
        *own.entry(call).or_default() += count;
    }
    own
}

/// What the proxies counted of each component, and what is wrong with their books.
fn wires<'n>(
    proxies: &[ProxyClient],
    opened: &Moment,
    closed: &Moment,
    names: &[&'n str],
) -> (BTreeMap<&'n str, Wire>, Vec<String>) {
    let mut wires: BTreeMap<&str, Wire> =
        names.iter().map(|name| (*name, Wire::default())).collect();
    let mut problems = Vec::new();
    for (at, proxy) in proxies.iter().map(ProxyClient::url).enumerate() {
        let most = closed.after[at].since(&opened.before[at]);
        let least = closed.before[at].since(&opened.after[at]);
        if closed.after[at].overflowed != opened.before[at].overflowed {
            problems.push(format!("the books of {proxy} overflowed"));
        }
        match most.and_then(|most| Ok((most, least?))) {
            Ok((most, least)) => {
                for (name, wire) in &mut wires {
                    wire.add_most(name, &most);
                    wire.add_least(name, &least);
                }
            }
            Err(error) => problems.push(format!("{proxy}: {error}")),
        }
    }
    (wires, problems)
}

/// What a comparison alone comes to.
pub(super) fn verdict(check: &Crosscheck) -> Exit {
    let mut rows = check.components.iter().flat_map(|one| &one.rows);
    if !check.problems.is_empty() {
        Exit::NotValid
    } else if rows.any(|row| matches!(row.finding, Finding::Missed | Finding::Invented)) {
        Exit::NotMet
    } else {
        Exit::Ok
    }
}

/// The components' metrics over the window in which a run's books are open. Nothing that goes
/// wrong here ends the run: it is in what was found.
pub(super) struct Watch {
    site: Site,
    sample: Duration,
    state: Mutex<State>,
}

enum State {
    Before,
    Open(Window),
    Closed(Crosscheck),
}

impl WindowHook for Watch {
    fn on_open(&self) -> HookFuture<'_> {
        Box::pin(async {
            let mut state = self.state.lock().await;
            *state = match self.site.open().await {
                Ok(window) => State::Open(window),
                Err(error) => State::Closed(nothing_known(Timestamp::now(), &error)),
            };
        })
    }

    fn on_close(&self) -> HookFuture<'_> {
        Box::pin(async {
            let mut state = self.state.lock().await;
            let window = match std::mem::replace(&mut *state, State::Before) {
                State::Open(window) => window,
                other => return *state = other,
            };
            let opened = window.opened.taken;
            let closed = self.site.close(window, &BTreeSet::new()).await;
            *state = State::Closed(closed.unwrap_or_else(|error| nothing_known(opened, &error)));
        })
    }
}

impl Watch {
    /// Samples while the window is open.
    async fn sampling(&self) -> Infallible {
        loop {
            sleep(self.sample).await;
            if let State::Open(window) = &mut *self.state.lock().await {
                self.site.sample(window).await;
            }
        }
    }

    /// What was found, once the window is closed.
    pub(super) fn found(self) -> Option<Crosscheck> {
        match self.state.into_inner() {
            State::Closed(check) => Some(check),
            State::Before | State::Open(_) => None,
        }
    }
}

/// Samples by `watch`, if there is one, until `work` is done.
pub(super) async fn sampled<T>(watch: Option<&Watch>, work: impl Future<Output = T>) -> T {
    let sampling = async {
        match watch {
            Some(watch) => watch.sampling().await,
            None => pending().await,
        }
    };
    tokio::select! {
        done = work => done,
        never = sampling => match never {},
    }
}

fn nothing_known(opened: Timestamp, error: &anyhow::Error) -> Crosscheck {
    let mut check = Crosscheck {
        schema: CROSSCHECK_SCHEMA.to_owned(),
        opened,
        closed: Timestamp::now(),
        components: Vec::new(),
        problems: vec![format!("{error:#}")],
        values: BTreeMap::new(),
        exit_code: 0,
        child_exit_code: None,
    };
    check.exit_code = verdict(&check).code();
    check
}
