//! `kubetoll price`: what calls cost an API server.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum, builder::PossibleValuesParser};
use tokio_util::sync::CancellationToken;

use super::shared::{
    cluster::{WhereArgs, client_of},
    history::StoreArgs,
    inputs::read_definitions,
    meters::LabMeter,
    output::Output,
    progress::Terminal,
    results,
};
use cluster::client::Manner;
use driver::pricing::{
    MetricsMeter, PricePlan, Priced, PricingError, WebhookServer, measure, names,
};
use lab::{
    real::{Assets, RealCluster},
    webhook::Webhook,
};
use record::{Machine, PriceList};
use report::Asked;
use terminal::{duration, exit::Exit, exit::Misuse, lines, tell};

/// Measure what single calls cost an API server: its CPU, etcd's, memory and bytes on the disk.
///
/// Makes calls of each kind, one after another: by verb, resource and outcome (a success, a write that
/// changes nothing, 404, 409, 422), for small and for large objects, with a webhook, with watches.
/// Rounds repeat until each price is known within 5 %, or --for is over. The unit beside microseconds
/// is the toll: a get of one Lease in the same run, a ratio that travels between machines.
///
/// With --lab real on a real etcd and kube-apiserver that are started on this machine; nothing else
/// should run on it meanwhile. Otherwise in place, on a cluster that little else calls meanwhile: in a
/// namespace that is made and removed again, with objects that no controller acts on. That takes the
/// right to make these, and to get the path /metrics; webhooks and etcd have no price there, and
/// nodes only with --only. The list is for kubetoll run --prices.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll price --lab real --out prices.json
  kubetoll price --lab real --for 2m --only pods,leases
  kubectl get crds --output yaml > crds.yaml; kubetoll price --lab real --crds crds.yaml
  kubetoll price --lab real --of run-1795496959-j5vw5 --out prices.json
  kubetoll price --context test --objects 100 --for 20m --out prices.json")]
pub(super) struct PriceArgs {
    /// A real etcd and kube-apiserver on this machine. The one in this process has no prices: it is a
    /// simulation.
    #[arg(long, value_enum, conflicts_with_all = ["kubeconfig", "context", "in_cluster"])]
    lab: Option<PricedLab>,
    /// Definitions of custom resources for the lab, as kubectl get crds --output yaml has them: with
    /// their schemas, calls cost more. Those of KubeVirt are without schemas otherwise.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kubeconfig", "context", "in_cluster"])]
    crds: Option<PathBuf>,
    #[command(flatten)]
    cluster: WhereArgs,
    /// Time after which no new round begins; three rounds to warm up are among it. Three more are
    /// measured in any case.
    #[arg(long = "for", default_value = "10m", value_name = "DURATION", value_parser = duration::parse)]
    longest: Duration,
    /// Objects of each kind and size in a round [default: 30, and 100 in place, where the clock of CPU
    /// is coarse].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    objects: Option<u32>,
    /// Only of these resources, such as pods,leases.
    #[arg(long, value_name = "RESOURCE,...", value_delimiter = ',', value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,
    /// Only of the resources that this run called: its record.json, or its id in the history.
    #[arg(long, value_name = "RUN", conflicts_with = "only")]
    of: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Write the list there, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Form of the list on standard output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PricedLab {
    Real,
}

/// Objects of each kind in a lab, whose CPU is read in nanoseconds.
const OBJECTS_IN_LAB: u32 = 30;
/// The same where it is read in hundredths of a second.
const OBJECTS_IN_PLACE: u32 = 100;

pub(super) async fn run(args: PriceArgs, stop: CancellationToken) -> Result<Exit> {
    if let Some(out) = &args.out {
        results::prepare_file(out)?;
    }
    let measured = match (args.lab, args.cluster.is_given()) {
        (Some(PricedLab::Real), _) => args.in_lab(&stop).await?,
        (None, true) => args.in_place(&stop).await?,
        (None, false) => bail!(Misuse(
            "what is to be measured? --lab real, or a cluster: --context, --kubeconfig or \
             --in-cluster"
                .to_owned()
        )),
    };
    match measured {
        None => Ok(Exit::Interrupted),
        Some(Ok(priced)) => args.finish(&priced, stop.is_cancelled()),
        Some(Err(PricingError::TooEarly)) => {
            tell!("kubetoll: {}", PricingError::TooEarly);
            Ok(if stop.is_cancelled() {
                Exit::Interrupted
            } else {
                Exit::NotValid
            })
        }
        Some(Err(error)) => Err(error.into()),
    }
}

/// `None` if it was interrupted before anything was measured.
type Measured = Option<Result<Priced, PricingError>>;

impl PriceArgs {
    async fn in_lab(&self, stop: &CancellationToken) -> Result<Measured> {
        let plan = self.plan(OBJECTS_IN_LAB)?;
        tell!(
            "lab: a real etcd and kube-apiserver on this machine; measured for at most {} s, three \
             rounds to warm up among them",
            self.longest.as_secs()
        );
        let definitions = self.crds.as_deref().map(read_definitions).transpose()?;
        let starting = stop.run_until_cancelled(async {
            let cluster = RealCluster::start(Assets::find()?, &[]).await?;
            cluster
                .prepare_kubevirt(&definitions.unwrap_or_default())
                .await?;
            anyhow::Ok(cluster)
        });
        let Some(cluster) = starting.await.transpose()? else {
            return Ok(None);
        };
        let webhook = Webhook::start(cluster.authority()).await?;
        let webhooks = WebhookServer {
            url: webhook.url.clone(),
            ca_pem: cluster.ca_pem(),
            calls: webhook.calls.clone(),
        };
        let plan = PricePlan {
            webhooks: Some(webhooks),
            machine: machine(),
            ..plan
        };
        let client = cluster.admin_client()?;
        let progress = Terminal::new();
        let measured = measure(&client, &LabMeter(&cluster), plan, &progress, stop).await;
        progress.finish();
        Ok(Some(measured))
    }

    async fn in_place(&self, stop: &CancellationToken) -> Result<Measured> {
        let plan = self.plan(OBJECTS_IN_PLACE)?;
        let access = self.cluster.access()?;
        tell!(
            "cluster: server {}, context {}; measured for at most {} s, three rounds to warm up among \
             them, in namespaces kubetoll-price-... that are removed again",
            access.upstream.url,
            access.context,
            self.longest.as_secs()
        );
        // What a client does again by itself would be a call that nobody measures.
        let client = client_of(&access, Manner::default()).await?;
        let meter = MetricsMeter::new(client.clone());
        let plan = PricePlan {
            in_use: true,
            ..plan
        };
        let progress = Terminal::new();
        let measured = measure(&client, &meter, plan, &progress, stop).await;
        progress.finish();
        Ok(Some(measured))
    }

    fn plan(&self, objects: u32) -> Result<PricePlan> {
        let of_run = self.of.as_deref().map(|run| self.called_by(run));
        Ok(PricePlan {
            only: of_run.transpose()?.unwrap_or_else(|| self.only.clone()),
            in_use: false,
            objects: self.objects.unwrap_or(objects) as usize,
            longest: self.longest,
            webhooks: None,
            machine: Machine::default(),
        })
    }

    /// The resources that a run called, of those that can be measured; says which can't.
    fn called_by(&self, run: &str) -> Result<Vec<String>> {
        let record = self.store.record(run)?;
        let rows = report::evaluate(&record, &Asked::default()).rows;
        let called = rows.into_iter().map(|row| row.call.resource);
        let called: BTreeSet<String> = called.filter(|resource| !resource.is_empty()).collect();
        let is_known = |resource: &String| names().contains(&&**resource);
        let (known, unknown): (Vec<String>, Vec<String>) = called.into_iter().partition(is_known);
        for resource in unknown {
            tell!("not in the list: {resource}, which {run} called: no objects of it are made");
        }
        if known.is_empty() {
            bail!("{run} called no resource of which objects are made");
        }
        Ok(known)
    }

    fn write(&self, list: &PriceList) -> Result<()> {
        if let Some(path) = &self.out {
            let json = serde_json::to_string_pretty(list)? + "\n";
            results::write_file(path, json.as_bytes())?;
            tell!("the list is in {}", path.display());
        }
        Ok(())
    }

    /// A file that can't be written takes nothing of what was measured for minutes: it is printed.
    fn finish(&self, priced: &Priced, is_interrupted: bool) -> Result<Exit> {
        for reason in &priced.left_out {
            tell!("not in the list: {reason}");
        }
        let written = self.write(&priced.list);
        let text = self.output.of(&priced.list, report::prices::prices)?;
        let printed = lines::print(&text);
        written?;
        if !priced.is_exact {
            tell!(
                "the widest interval is ± {:.0} %, not 5 %: --for a longer time makes it narrower",
                1e2 * priced.widest
            );
        }
        Ok(if is_interrupted {
            Exit::Interrupted
        } else {
            printed
        })
    }
}

/// What this process runs on.
fn machine() -> Machine {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let cpu = cpu.map(|rest| rest.trim_start_matches(['\t', ' ', ':']).to_owned());
    Machine {
        cpu: cpu.unwrap_or_default(),
        cpus: std::thread::available_parallelism().map_or(0, |count| count.get() as u64),
    }
}
