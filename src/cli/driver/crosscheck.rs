//! `kubetoll crosscheck`: what the wire saw beside what components count themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    pin::pin,
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Exit, Misuse, Output,
    measure::{code_of, exit_of, run_command},
    run::proxy_clients,
};
use crate::{
    cli::{duration, lines},
    crosscheck::{Reading, Watched, Wire, compare, values},
    driver::{proxies::ProxyClient, scrape::Scraper},
    identity::{self, endpoint::Trust},
    record::{CROSSCHECK_SCHEMA, ComponentCheck, Crosscheck, Finding, Snapshot},
    report,
};

/// How long nothing may have been answered before a reading is taken: what was answered has then
/// reached the component's counter.
const STILL: Duration = Duration::from_millis(100);
/// Longest wait for such a moment; then what came while a reading was taken is told apart.
const STILL_LONGEST: Duration = Duration::from_secs(5);

/// Compare what the wire saw with what components count of themselves.
///
/// Reads each component's own counter of its API calls (kubevirt_rest_client_requests_total) and
/// the proxies' books at the beginning and at the end of a command or of a time, and compares the
/// two row for row. Says which calls a component's metric misses, such as those of a client that
/// was made without the counter, and which it invents, such as requests that were never sent.
/// Opens no run, so that the command can be one. The same endpoints give CPU, memory and work
/// queues of the components, under the names of KubeVirt's report.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll crosscheck --proxy http://127.0.0.1:16444 \\
    --component-metrics virt-api=https://10.0.0.7:8443 --component-metrics-insecure --for 5m
  kubetoll crosscheck --proxy http://127.0.0.1:16444 \\
    --component-metrics virt-controller=http://127.0.0.1:8080/metrics -- make perftest

Exit code 3: a component's metric misses or invents calls. 4: a component or a proxy was restarted, \
or a component made no call, so that nothing can be said.")]
pub(super) struct CrosscheckArgs {
    /// A component by its name in the books, and its metrics endpoint; repeatable, also for
    /// several pods of one component. Without a path it is /metrics.
    #[arg(long, value_name = "COMPONENT=URL", required = true)]
    component_metrics: Vec<String>,
    /// PEM file of the CA that signed the endpoints' certificates.
    #[arg(long, value_name = "FILE")]
    component_metrics_ca: Option<PathBuf>,
    /// Name that the endpoints' certificates must have, if it isn't the URL's host.
    #[arg(long, value_name = "NAME", requires = "component_metrics_ca")]
    component_metrics_server_name: Option<String>,
    /// File with a bearer token for the endpoints.
    #[arg(long, value_name = "FILE")]
    component_metrics_token_file: Option<PathBuf>,
    /// Take any certificate of the endpoints: whoever is in between can change what is read. Never
    /// with a token.
    #[arg(long, conflicts_with_all = ["component_metrics_ca", "component_metrics_token_file"])]
    component_metrics_insecure: bool,
    /// Admin address of a proxy in front of these components, such as http://127.0.0.1:16444;
    /// repeatable.
    #[arg(long, value_name = "URL", required = true)]
    proxy: Vec<String>,
    /// File with the proxies' admin token.
    #[arg(long, value_name = "FILE")]
    proxy_token_file: Option<PathBuf>,
    /// Resource whose calls a component's metric is known to miss, such as subjectaccessreviews;
    /// repeatable. What it misses of them is shown, and no reason for exit code 3.
    #[arg(long, value_name = "RESOURCE")]
    allow_missed: Vec<String>,
    /// How often memory and the depth of work queues are read in between.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    sample: Duration,
    /// Compare over this time, without a command.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    window: Option<Duration>,
    /// Form of the result on standard output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// The command and its arguments.
    #[arg(last = true, conflicts_with = "window")]
    command: Vec<OsString>,
}

/// What is read.
struct Site {
    proxies: Vec<ProxyClient>,
    endpoints: Vec<(String, Scraper)>,
    began: Instant,
}

/// Readings of all endpoints, and the books before and after them.
struct Moment {
    before: Vec<Snapshot>,
    readings: Vec<(f64, Reading)>,
    after: Vec<Snapshot>,
    taken: Timestamp,
}

pub(super) async fn run(args: CrosscheckArgs, stop: CancellationToken) -> Result<Exit> {
    if args.window.is_none() && args.command.is_empty() {
        let over = "over what? give a command behind --, or a time with --for";
        return Err(Misuse(over.to_owned()).into());
    }
    let site = Site {
        proxies: proxy_clients(&args.proxy, args.proxy_token_file.as_deref())?,
        endpoints: args.endpoints()?,
        began: Instant::now(),
    };
    let opened = stop.run_until_cancelled(site.moment()).await;
    let Some(opened) = opened.transpose()? else {
        return Ok(Exit::Interrupted);
    };
    let named = site.endpoints.iter().zip(&opened.readings);
    let mut watched: Vec<Watched> = named
        .map(|((component, scraper), (at, reading))| {
            Watched::new(component, &scraper.url(), *at, reading.clone())
        })
        .collect();
    let Some(status) = args.wait(&site, &mut watched, &stop).await? else {
        return Ok(Exit::Interrupted);
    };
    let closed = site.moment().await?;
    for (one, (at, reading)) in watched.iter_mut().zip(closed.readings.iter().cloned()) {
        one.see(at, reading);
    }
    let mut check = args.check(&opened, &closed, &watched);
    let ours = verdict(&check);
    check.exit_code = ours.code();
    check.child_exit_code = status.map(code_of);
    let text = match args.output {
        Output::Text => report::crosscheck::text(&check),
        Output::Json => serde_json::to_string_pretty(&check)? + "\n",
    };
    let printed = lines::exit_after_writing(io::stdout().write_all(text.as_bytes()));
    Ok(exit_of(status, ours).or(printed))
}

fn verdict(check: &Crosscheck) -> Exit {
    let mut rows = check.components.iter().flat_map(|one| &one.rows);
    if !check.problems.is_empty() {
        Exit::NotValid
    } else if rows.any(|row| matches!(row.finding, Finding::Missed | Finding::Invented)) {
        Exit::NotMet
    } else {
        Exit::Ok
    }
}

impl CrosscheckArgs {
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

    /// Waits for the end of the command or of the time, and samples; `None` after Ctrl-C.
    async fn wait(
        &self,
        site: &Site,
        watched: &mut [Watched],
        stop: &CancellationToken,
    ) -> Result<Option<Option<ExitStatus>>> {
        let mut window = pin!(async {
            Ok(match self.window {
                Some(window) => stop.run_until_cancelled(sleep(window)).await.map(|()| None),
                None => run_command(&self.command, &[], stop).await?.map(Some),
            })
        });
        loop {
            tokio::select! {
                ended = &mut window => return ended,
                () = sleep(self.sample) => site.sample(watched).await,
            }
        }
    }

    fn check(&self, opened: &Moment, closed: &Moment, watched: &[Watched]) -> Crosscheck {
        let mut names: Vec<&str> = watched.iter().map(|one| one.component.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let (wires, mut problems) = wires(&self.proxy, opened, closed, &names);
        let allowed: BTreeSet<String> = self.allow_missed.iter().cloned().collect();
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
                    compare(wire, &own(&of), &allowed)
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
    proxies: &[String],
    opened: &Moment,
    closed: &Moment,
    names: &[&'n str],
) -> (BTreeMap<&'n str, Wire>, Vec<String>) {
    let mut wires: BTreeMap<&str, Wire> =
        names.iter().map(|name| (*name, Wire::default())).collect();
    let mut problems = Vec::new();
    for (at, proxy) in proxies.iter().enumerate() {
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

impl Site {
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
    async fn sample(&self, watched: &mut [Watched]) {
        match self.readings().await {
            Ok(readings) => {
                for (one, (at, reading)) in watched.iter_mut().zip(readings) {
                    one.see(at, reading);
                }
            }
            Err(error) => tracing::warn!(%error, "a sample is missing"),
        }
    }
}
