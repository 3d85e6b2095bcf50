//! `kubetoll price`: what calls cost an API server.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum, builder::PossibleValuesParser};
use tokio_util::sync::CancellationToken;

use super::shared::{meters::LabMeter, output::Output, progress::Terminal};
use driver::pricing::{PricePlan, Priced, PricingError, WebhookServer, measure, names};
use lab::{
    real::{Assets, RealCluster},
    webhook::Webhook,
};
use record::Machine;
use terminal::{duration, exit::Exit, lines, tell};

/// Measure what single calls cost an API server: its CPU, etcd's, memory and bytes on the disk.
///
/// Starts a real etcd and kube-apiserver on this machine and makes calls of each kind, one after
/// another: by verb, resource and outcome (a success, a write that changes nothing, 404, 409, 422),
/// for small and for large objects, with a webhook, with watches. Rounds repeat until each price is
/// known within 5 %, or --for is over. The unit beside microseconds is the toll: a get of a Lease in
/// the same run, a ratio that travels between machines.
///
/// Nothing else should run on the machine meanwhile. The list is for kubetoll run --prices.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll price --lab real --out prices.json
  kubetoll price --lab real --for 2m --objects 10")]
pub(super) struct PriceArgs {
    /// The API server that is measured: a real etcd and kube-apiserver. The one in this process has no
    /// prices: it is a simulation.
    #[arg(long, value_enum)]
    lab: PricedLab,
    /// Time after which no new round begins. Three are measured in any case.
    #[arg(long = "for", default_value = "10m", value_name = "DURATION", value_parser = duration::parse)]
    longest: Duration,
    /// Objects of each kind and size in a round.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    objects: u32,
    /// Only of these resources, such as pods,leases.
    #[arg(long, value_name = "RESOURCE,...", value_delimiter = ',', value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,
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

pub(super) async fn run(args: PriceArgs, stop: CancellationToken) -> Result<Exit> {
    tell!(
        "lab: a real etcd and kube-apiserver on this machine; measured for at most {} s after a \
         round to warm up",
        args.longest.as_secs()
    );
    let PricedLab::Real = args.lab;
    let starting = stop.run_until_cancelled(async {
        let cluster = RealCluster::start(Assets::find()?, &[]).await?;
        cluster.prepare_kubevirt().await?;
        anyhow::Ok(cluster)
    });
    let Some(cluster) = starting.await.transpose()? else {
        return Ok(Exit::Interrupted);
    };
    let webhook = Webhook::start(cluster.authority()).await?;
    let plan = PricePlan {
        only: args.only.clone(),
        objects: args.objects as usize,
        longest: args.longest,
        webhooks: Some(WebhookServer {
            url: webhook.url.clone(),
            ca_pem: cluster.ca_pem(),
            calls: webhook.calls.clone(),
        }),
        machine: machine(),
    };
    let progress = Terminal::new();
    let client = cluster.admin_client()?;
    let measured = measure(&client, &LabMeter(&cluster), plan, &progress, &stop).await;
    progress.finish();
    match measured {
        Ok(priced) => args.finish(&priced, stop.is_cancelled()),
        Err(PricingError::TooEarly) => {
            tell!("kubetoll: {}", PricingError::TooEarly);
            Ok(if stop.is_cancelled() {
                Exit::Interrupted
            } else {
                Exit::NotValid
            })
        }
        Err(error) => Err(error.into()),
    }
}

impl PriceArgs {
    fn finish(&self, priced: &Priced, is_interrupted: bool) -> Result<Exit> {
        for reason in &priced.left_out {
            tell!("not in the list: {reason}");
        }
        if let Some(path) = &self.out {
            let json = serde_json::to_string_pretty(&priced.list)? + "\n";
            let written = fs::write(path, json);
            written.with_context(|| format!("cannot write {}", path.display()))?;
            tell!("the list is in {}", path.display());
        }
        let text = self.output.of(&priced.list, report::prices::prices)?;
        let printed = lines::print(&text);
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
