//! What of a run is typed, and what is meant by it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::commands::shared::{
    attached::DiscoverArgs,
    cluster::{self, WhereArgs},
    history::KeepArgs,
    metrics_args::MetricsArgs,
    output::Output,
    prices::PricesArgs,
};
use driver::{
    Plan,
    workload::{Scenario, Spec, Template},
};
use report::{Budget, RowOrder, Shown};
use terminal::duration;

/// Objects for each simulated node of a lab, whose size nobody gave: a little less than what fits.
const OBJECTS_PER_NODE: u32 = 100;
/// Simulated nodes of such a lab. Each has a virt-handler with connections of its own.
const NODES_LEAST: u32 = 4;
const NODES_MOST: u32 = 200;

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
/// A run that fails or is interrupted is a result, too: it prints what was counted until then, and
/// why objects are not Running, is written and kept, and is marked as not valid.
///
/// With --component-metrics the components' own metrics are read while the books are open, as
/// `kubetoll crosscheck` does: CPU, memory and work queues go to the record and to KubeVirt's results
/// file. What a component's counter misses is said, and doesn't change the exit code.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll run vmi
  kubetoll run vm --lab real --results-dir results
  kubetoll run vmi --count 10000 --pause 0ms --no-journal
  kubetoll run vmi --context kind-kubevirt --count 20
  kubetoll run vmi --in-cluster --kubevirt-namespace kubevirt --proxy-token-file /token/token
  kubetoll run vmi --context kind-kubevirt --proxy http://127.0.0.1:16444
  kubetoll run --template my-vm.yaml --count 20 --sort bytes --top 5

A file for --thresholds; names are KubeVirt's, or rows such as PATCH-pods/status:
  {\"thresholdExpectations\": {
    \"CREATE-pods-count\": {\"value\": 100},
    \"PATCH-pods-count\": {\"metric\": \"CREATE-pods-count\", \"ratio\": 3},
    \"vmiCreationToRunningSecondsP95\": {\"value\": 30}}}")]
pub(in crate::commands) struct RunArgs {
    /// vmi: minimal VMIs; vm: VMs with run strategy Always; instancetype: VMs with one
    /// instancetype and one preference for all. --template takes its place.
    #[arg(value_enum, required_unless_present = "template")]
    pub(super) scenario: Option<Name>,
    /// How many objects to create.
    #[arg(help_heading = "What is created", long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) count: u32,
    /// Pause after each create.
    #[arg(help_heading = "What is created", long, default_value = "100ms", value_name = "DURATION", value_parser = duration::parse)]
    pub(super) pause: Duration,
    /// Longest wait for all to be Running.
    #[arg(help_heading = "How long", long, default_value = "5m", value_name = "DURATION", value_parser = duration::parse)]
    pub(super) timeout: Duration,
    /// How long the run's namespace must be silent before the books are closed
    /// [default: 1s in a lab, 10s on a cluster].
    #[arg(help_heading = "How long", long, value_name = "DURATION", value_parser = duration::parse)]
    pub(super) settle: Option<Duration>,
    /// Window before the run in which nothing is created [default: 2s in a lab, 60s on a cluster].
    #[arg(help_heading = "How long", long, value_name = "DURATION", value_parser = duration::parse)]
    pub(super) baseline: Option<Duration>,
    #[command(flatten, next_help_heading = "Where")]
    pub(super) cluster: WhereArgs,
    /// Create in this namespace, which must be empty; otherwise one is made and removed again.
    #[arg(help_heading = "Where", long, value_name = "NAME", value_parser = cluster::namespace)]
    pub(super) namespace: Option<String>,
    /// The API server of the lab: in this process, or a real etcd and kube-apiserver.
    #[arg(help_heading = "Where", long, value_enum, conflicts_with_all = ["kubeconfig", "context", "in_cluster", "proxy", "kubevirt_namespace"])]
    pub(super) lab: Option<LabKind>,
    /// Simulated nodes of a lab, each with room for 110 pods [default: one for each 100 objects, at
    /// least 4 and at most 200].
    #[arg(help_heading = "Where", long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200),
        conflicts_with_all = ["kubeconfig", "context", "in_cluster", "proxy", "kubevirt_namespace"])]
    pub(super) nodes: Option<u16>,
    /// Add the node selector and tolerations of KubeVirt's KWOK lane.
    #[arg(help_heading = "What is created", long)]
    pub(super) kwok: bool,
    /// YAML file with a VMI or VM of your own to create, in place of a SCENARIO: only one of the two
    /// can be given.
    #[arg(
        help_heading = "What is created",
        long,
        value_name = "FILE",
        conflicts_with = "scenario"
    )]
    pub(super) template: Option<PathBuf>,
    /// JSON file with perfscale-audit's thresholdExpectations, as below.
    #[arg(help_heading = "History and limits", long, value_name = "FILE")]
    pub(super) thresholds: Option<PathBuf>,
    /// Keep a line of each request, for `kubetoll why`, `kubetoll journal` and `kubetoll verify` (as a
    /// rule in a lab).
    #[arg(help_heading = "Proxies", long)]
    pub(super) journal: bool,
    /// Keep none in a lab, either: a run of thousands of objects takes less memory, and is compared
    /// with the API server's own log count by count in place of request by request.
    #[arg(help_heading = "Proxies", long, conflicts_with = "journal")]
    pub(super) no_journal: bool,
    /// Admin address of a proxy that takes part, such as http://127.0.0.1:16444; repeatable.
    /// Without it the attached proxies take part.
    #[arg(help_heading = "Proxies", long, value_name = "URL")]
    pub(super) proxy: Vec<String>,
    /// File with the proxies' admin token; for attached proxies the Secret is read otherwise.
    #[arg(help_heading = "Proxies", long, value_name = "FILE")]
    pub(super) proxy_token_file: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Proxies")]
    pub(super) discover: DiscoverArgs,
    #[command(flatten, next_help_heading = "The components' own metrics")]
    pub(super) metrics: MetricsArgs,
    /// A budget such as 'PATCH-pods<=200', or in tolls 'cost-per-object<=70' or
    /// 'cost-per-object:PATCH-pods<=4.5' (without -per-object: of the whole run): exit with 3 if it is
    /// exceeded; repeatable.
    #[arg(help_heading = "History and limits", long, value_name = "BUDGET")]
    pub(super) budget: Vec<Budget>,
    /// Folder for record.json and KubeVirt's results file.
    #[arg(help_heading = "Result", long, value_name = "DIR")]
    pub(super) results_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) prices: PricesArgs,
    /// Form of the result on standard output.
    #[arg(help_heading = "Result", long, value_enum, default_value_t)]
    pub(super) output: Output,
    /// What comes first in the text's tables.
    #[arg(
        help_heading = "Result",
        long,
        value_enum,
        value_name = "ORDER",
        default_value_t
    )]
    pub(super) sort: Sort,
    /// Show that many rows of each table of the text.
    #[arg(help_heading = "Result", long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) top: Option<u32>,
    /// Leave the objects where they are, on a cluster: a lab ends with the run.
    #[arg(help_heading = "What is created", long)]
    pub(super) keep: bool,
    /// Don't create and delete one object first.
    #[arg(help_heading = "What is created", long)]
    pub(super) no_primer: bool,
    #[command(flatten, next_help_heading = "History and limits")]
    pub(super) keep_in: KeepArgs,
}

/// KubeVirt's three density tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Name {
    Vmi,
    Vm,
    Instancetype,
}

/// The API server of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LabKind {
    Embedded,
    Real,
}

/// What comes first in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Sort {
    /// What cost the API server most, by --prices; without, what was called most often.
    #[default]
    Cost,
    /// What was called most often.
    Count,
    /// What moved most bytes.
    Bytes,
    /// What was waited for longest, all calls of a row together.
    Time,
    /// By component, verb and resource.
    Name,
}

impl RunArgs {
    /// What of the rows is shown.
    pub(super) fn shown(&self) -> Shown {
        Shown {
            by: match self.sort {
                Sort::Count => RowOrder::Count,
                Sort::Bytes => RowOrder::Bytes,
                Sort::Time => RowOrder::Time,
                Sort::Cost => RowOrder::Cost,
                Sort::Name => RowOrder::Name,
            },
            top: self.top.map(|top| top as usize),
            ..Shown::default()
        }
    }

    /// The scenario, or the template in a file.
    pub(super) fn spec(&self) -> Result<Spec> {
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

    /// How many nodes a lab has.
    pub(super) fn nodes(&self) -> usize {
        let by_count = self.count.div_ceil(OBJECTS_PER_NODE);
        let by_count = by_count.clamp(NODES_LEAST, NODES_MOST) as usize;
        self.nodes.map_or(by_count, usize::from)
    }

    /// The run as it was asked for. A lab is quiet sooner than a cluster: its defaults are shorter.
    pub(super) fn plan(&self, spec: Spec, in_lab: bool) -> Plan {
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
            journal: self.journal || (in_lab && !self.no_journal),
            simulated: in_lab,
            configuration,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RunArgs,
    }

    #[test]
    fn nodes_come_with_the_count() {
        for (arguments, nodes) in [
            (&["--count", "400"][..], 4),
            (&["--count", "401"], 5),
            (&["--count", "10000"], 100),
            (&["--count", "100000"], 200),
            (&["--count", "10000", "--nodes", "3"], 3),
        ] {
            let line = [&["run", "vmi"], arguments].concat();
            assert_eq!(Line::parse_from(line).args.nodes(), nodes, "{arguments:?}");
        }
    }
}
