//! `kubetoll run`: a density run in a lab or on a cluster.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::{
    Exit, Misuse, Output,
    attached::{DiscoverArgs, Fleet},
    cluster::{self, WhereArgs},
    component_metrics::{MetricsArgs, Watch, sampled},
    history::KeepArgs,
    lab::Lab,
    results,
};
use crate::commands::progress::Terminal;
use driver::{
    Driver, Plan, Roster, RunError, WindowHook,
    client::{Tally, counted},
    proxies::ProxyClient,
    workload::{Scenario, Spec, Template},
};
use record::{ClusterRecord, RunRecord, RunResult, ThresholdFile, printable};
use report::Asked;
use terminal::duration;
use terminal::tell;

/// Create KubeVirt's density workload and say exactly what it cost.
///
/// Without --kubeconfig, --context, --in-cluster or --lab real this runs against an API server in
/// this process, with simulated KubeVirt components behind the proxy: nothing is needed and
/// nothing outside of the process is touched.
///
/// On a cluster all proxies take part that `kubetoll attach` put into KubeVirt's pods; those of your
/// own are named by their admin address with --proxy. The run is refused while a pod of an attached
/// component is not ready, and not valid (exit code 4) if one was restarted, appeared or vanished
/// meanwhile. `kubetoll rbac run` prints the rights that it needs.
///
/// With --component-metrics the components' own metrics are read while the books are open, as
/// `kubetoll crosscheck` does: CPU, memory and work queues go to the record and to KubeVirt's results
/// file. What a component's counter misses is said, and doesn't change the exit code.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll run vmi
  kubetoll run vm --lab real --results-dir results
  kubetoll run vmi --context kind-kubevirt --count 20
  kubetoll run vmi --in-cluster --kubevirt-namespace kubevirt --proxy-token-file /token/token
  kubetoll run vmi --context kind-kubevirt --proxy http://127.0.0.1:16444")]
pub(super) struct RunArgs {
    /// vmi: minimal VMIs; vm: VMs with run strategy Always; instancetype: VMs with one
    /// instancetype and one preference for all.
    #[arg(value_enum, required_unless_present = "template")]
    scenario: Option<Name>,
    /// How many objects to create.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Pause after each create.
    #[arg(long, default_value = "100ms", value_name = "DURATION", value_parser = duration::parse)]
    pause: Duration,
    /// Longest wait for all to be Running.
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration::parse)]
    timeout: Duration,
    /// How long the run's namespace must be silent before the books are closed
    /// [default: 1s in a lab, 10s on a cluster].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    settle: Option<Duration>,
    /// Window before the run in which nothing is created [default: 2s in a lab, 60s on a cluster].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    baseline: Option<Duration>,
    #[command(flatten)]
    cluster: WhereArgs,
    /// Create in this namespace, which must be empty; otherwise one is made and removed again.
    #[arg(long, value_name = "NAME", value_parser = cluster::namespace)]
    namespace: Option<String>,
    /// The API server of the lab: in this process, or a real etcd and kube-apiserver.
    #[arg(long, value_enum, conflicts_with_all = ["kubeconfig", "context", "in_cluster", "proxy", "kubevirt_namespace"])]
    lab: Option<LabKind>,
    /// Add the node selector and tolerations of KubeVirt's KWOK lane.
    #[arg(long)]
    kwok: bool,
    /// YAML file with a VMI or VM of your own to create.
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    template: Option<PathBuf>,
    /// JSON file with perfscale-audit's thresholdExpectations.
    #[arg(long, value_name = "FILE")]
    thresholds: Option<PathBuf>,
    /// Record the audit ID of each request, for `kubetoll verify` (always in a lab).
    #[arg(long)]
    audit_ids: bool,
    /// Admin address of a proxy that takes part, such as http://127.0.0.1:16444; repeatable.
    /// Without it the attached proxies take part.
    #[arg(long, value_name = "URL")]
    proxy: Vec<String>,
    /// File with the proxies' admin token; for attached proxies the Secret is read otherwise.
    #[arg(long, value_name = "FILE")]
    proxy_token_file: Option<PathBuf>,
    #[command(flatten)]
    discover: DiscoverArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    /// Folder for record.json and KubeVirt's results file.
    #[arg(long, value_name = "DIR")]
    results_dir: Option<PathBuf>,
    /// Form of the result on standard output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// Leave the objects where they are.
    #[arg(long)]
    keep: bool,
    /// Don't create and delete one object first.
    #[arg(long)]
    no_primer: bool,
    #[command(flatten)]
    keep_in: KeepArgs,
}

/// KubeVirt's three density tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Vmi,
    Vm,
    Instancetype,
}

/// The API server of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LabKind {
    Embedded,
    Real,
}

/// Where a run takes place.
struct Place {
    lab: Option<Lab>,
    client: Client,
    tally: Tally,
    cluster: ClusterRecord,
    proxies: Vec<ProxyClient>,
    fleet: Option<Fleet>,
}

pub(super) async fn run(args: RunArgs, stop: CancellationToken) -> Result<Exit> {
    let thresholds = results::read_thresholds(args.thresholds.as_deref())?;
    let spec = args.spec()?;
    if let Some(dir) = &args.results_dir {
        results::prepare(dir)?;
    }
    args.keep_in.prepare().await?;
    let starting = stop.run_until_cancelled(async {
        let place = args.place().await?;
        let watch = args.metrics.watch(&place.proxies).await?;
        anyhow::Ok((place, watch))
    });
    let Some((place, watch)) = starting.await.transpose()? else {
        return Ok(Exit::Interrupted);
    };
    let progress = Terminal::new();
    let driver = Driver {
        client: place.client.clone(),
        tally: place.tally.clone(),
        proxies: place.proxies.clone(),
        roster: place.fleet.as_ref().map(|fleet| fleet as &dyn Roster),
        window_hook: watch.as_ref().map(|watch| watch as &dyn WindowHook),
        cluster: place.cluster.clone(),
        progress: &progress,
        stop,
    };
    let plan = args.plan(spec, place.lab.is_some());
    let outcome = sampled(watch.as_ref(), driver.run(&plan)).await;
    progress.finish();
    let exit = match outcome {
        Ok(mut record) => {
            record.crosscheck = watch.and_then(Watch::found);
            args.finish(record, place.lab.as_ref(), thresholds.as_ref())
                .await
        }
        Err(error) => Ok(explain(&error)),
    };
    if let Some(lab) = place.lab {
        lab.stop().await;
    }
    exit
}

fn explain(error: &RunError) -> Exit {
    tell!("kubetoll: {error}");
    match error.cause() {
        RunError::Interrupted => Exit::Interrupted,
        RunError::Proxy(error) if error.is_loss() => Exit::NotValid,
        _ => Exit::Failed,
    }
}

impl RunArgs {
    fn spec(&self) -> Result<Spec> {
        let scenario = match (&self.template, self.scenario) {
            (Some(path), _) => {
                let name = path.display();
                let text =
                    std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
                let object = serde_saphyr::from_str(&text)
                    .with_context(|| format!("{name} is not one YAML document"))?;
                Scenario::Template(Template::new(object).with_context(|| format!("{name}"))?)
            }
            (None, Some(Name::Vm)) => Scenario::Vm,
            (None, Some(Name::Instancetype)) => Scenario::Instancetype,
            (None, _) => Scenario::Vmi,
        };
        Ok(Spec {
            scenario,
            kwok: self.kwok,
        })
    }

    /// Starts the lab, or connects to the cluster; says which first.
    async fn place(&self) -> Result<Place> {
        if self.cluster.is_given() {
            return self.cluster().await;
        }
        let is_given = !self.proxy.is_empty()
            || self.proxy_token_file.is_some()
            || self.discover.is_given()
            || self.metrics.is_given();
        if is_given {
            let options = "--proxy, --proxy-token-file, --proxy-via, --kubevirt-namespace and \
                           --component-metrics";
            bail!(Misuse(format!(
                "{options} are for a run on a cluster: add --kubeconfig, --context or --in-cluster"
            )));
        }
        let lab = if self.lab == Some(LabKind::Real) {
            tell!(
                "lab: a real etcd and kube-apiserver on this machine; KubeVirt is SIMULATED (use \
                 --kubeconfig or --context for a cluster)"
            );
            Lab::real().await?
        } else {
            tell!(
                "lab: an API server in this process; KubeVirt is SIMULATED (use --kubeconfig or \
                 --context for a cluster, --lab real for a real kube-apiserver)"
            );
            Lab::embedded().await?
        };
        let (client, tally) = counted(lab.client.clone(), "default");
        Ok(Place {
            client,
            tally,
            cluster: ClusterRecord {
                server: lab.url(),
                ..ClusterRecord::default()
            },
            proxies: vec![lab.proxy()],
            fleet: None,
            lab: Some(lab),
        })
    }

    async fn cluster(&self) -> Result<Place> {
        let (mut config, context) = self.cluster.config().await?;
        // What a client does again by itself would be a call that nobody asked for.
        config.default_retry = false;
        let mut cluster = ClusterRecord {
            server: config.cluster_url.to_string(),
            context,
            ..ClusterRecord::default()
        };
        tell!(
            "cluster: server {}, context {}, namespace {}",
            cluster.server,
            cluster.context,
            self.namespace.as_deref().unwrap_or("(a new one)")
        );
        let client = Client::try_from(config).context("cannot make a client")?;
        let (client, tally) = counted(client, "default");
        let (proxies, fleet) = if self.proxy.is_empty() {
            let token = self.proxy_token_file.as_ref();
            let in_cluster = self.cluster.in_cluster;
            let fleet = Fleet::find(client.clone(), &self.discover, token, in_cluster).await?;
            cluster.kubevirt_version = fleet.kubevirt_version().to_owned();
            (fleet.proxies.clone(), Some(fleet))
        } else {
            let token = self.proxy_token_file.as_deref();
            (proxy_clients(&self.proxy, token)?, None)
        };
        Ok(Place {
            lab: None,
            client,
            tally,
            cluster,
            proxies,
            fleet,
        })
    }

    fn plan(&self, spec: Spec, in_lab: bool) -> Plan {
        let by_place = |given: Option<Duration>, lab: u64, cluster: u64| {
            given.unwrap_or(Duration::from_secs(if in_lab { lab } else { cluster }))
        };
        let mut configuration = BTreeMap::new();
        if let Some(lab) = self.lab {
            configuration.insert("lab".to_owned(), format!("{lab:?}").to_lowercase());
        }
        Plan {
            spec,
            count: self.count as usize,
            pause: self.pause,
            timeout: self.timeout,
            settle: by_place(self.settle, 1, 10),
            baseline: by_place(self.baseline, 2, 60),
            namespace: self.namespace.clone(),
            keep: self.keep,
            primer: !self.no_primer,
            audit_ids: self.audit_ids || in_lab,
            simulated: in_lab,
            configuration,
        }
    }

    async fn finish(
        &self,
        mut record: RunRecord,
        lab: Option<&Lab>,
        thresholds: Option<&ThresholdFile>,
    ) -> Result<Exit> {
        if let Some(lab) = lab {
            record.checks.push(lab.check(&record)?);
        }
        let asked = Asked {
            thresholds,
            ..Asked::default()
        };
        let result = report::evaluate(&record, &asked);
        // Neither a full disk nor a closed pipe takes the others with it.
        let printed = print_result(&result, self.output);
        let written = self.write_files(&record, &result);
        let kept = self.keep_in.keep(record).await;
        printed?;
        written?;
        Ok(report::run_exit(&result).or(kept))
    }

    fn write_files(&self, record: &RunRecord, result: &RunResult) -> Result<()> {
        if let Some(dir) = &self.results_dir {
            results::write(dir, record, result)?;
            tell!("results are in {}", dir.display());
        }
        Ok(())
    }
}

/// Clients of admin ports, with the token in `token_file` if there is one.
pub(super) fn proxy_clients(
    urls: &[String],
    token_file: Option<&Path>,
) -> Result<Vec<ProxyClient>> {
    let token = token_file.map(identity::read_token).transpose()?;
    let clients = urls.iter().map(|url| {
        let client = ProxyClient::new(url, token.as_deref());
        client.map_err(|error| Misuse(error.to_string()).into())
    });
    clients.collect()
}

/// Prints a result to standard output.
pub(super) fn print_result(result: &RunResult, output: Output) -> Result<()> {
    use std::io::{ErrorKind, Write};
    let text = match output {
        Output::Text => report::run_text::run(result),
        Output::Json => serde_json::to_string_pretty(result)? + "\n",
    };
    match std::io::stdout().write_all(printable(&text).as_bytes()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot print the result"),
    }
}
