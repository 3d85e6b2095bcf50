//! `kubetoll compare`: two groups of runs, and what may differ.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::shared::{
    history::{NEWEST, SelectArgs, StoreArgs, key_value, time},
    inputs::read_run,
    limits::{ALPHA, LimitArgs, rate},
    priced::priced,
};
use record::{HistoryRun, label};
use report::{Group, HowToCompare, Metrics, compare_text};
use terminal::{exit::Exit, lines, tell};

/// Compare two groups of runs metric by metric: is B different from A?
///
/// A and B are a run's id (or a beginning of it), labels such as kubevirt=v1.8.0 or
/// job=nightly,since=2024-10-21, `newest`, or a file: record.json, or a results file of KubeVirt's.
/// since= and until= are times, all others labels; they and `newest` are looked up among the runs
/// that --job, --scenario and so on name.
///
/// All runs of A the same and all of B the same, but different: that is a change, whatever the
/// number of runs from three on. Otherwise the Mann-Whitney U test says whether chance explains the
/// difference, and a bootstrap interval how large it is; with too few runs to know, that is said.
/// Estimates are not compared with exact counts.
///
/// What the calls cost comes first, in tolls, of which one is what a get of one Lease takes of an API
/// server's CPU; then the metrics by how many tolls they cost more or less. Prices are always those
/// that Kubetoll comes with, so that runs can be compared; what was imported has none.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll compare kubevirt=v1.7.0 kubevirt=v1.8.0 --scenario vmi
  kubetoll compare job=nightly,until=2024-10-21 job=nightly,since=2024-10-24
  kubetoll compare before/record.json after/record.json --fail-on 'PATCH-pods>5%'
  kubetoll compare job=nightly newest --fail-on learned --output markdown

Limits of --fail-on:
  PATCH-pods>5%                    B's median is more than 5 % above A's
  PATCH-pods<-5%                   it is more than 5 % below
  CREATE-pods>100                  B's median is above 100
  PATCH-pods/status>0%             a subresource; PATCH-pods is without any
  virt-controller:PATCH-pods>0%    the calls of one component
  PATCH-pods-count>5%              KubeVirt's value: its components, with /status and the like
  cost>5%                          what all calls cost, in tolls: one is a get of one Lease
  cost>7000                        B's own cost is above 7,000 tolls
  cost:PATCH-pods>5%               what the calls of a name cost; any of the names above
  cost-per-object>70               a cost by the number of objects
  learned                          B is above what the runs of A hardly ever exceed

Exit codes: 3 a limit is exceeded, 4 a limit's metric is missing or nothing could be learned.")]
pub(super) struct CompareArgs {
    /// What is compared with.
    a: String,
    /// What is judged; runs that are in both are taken out of A.
    b: String,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    select: SelectArgs,
    /// Only this metric, such as PATCH-pods-count, or several by a *; repeatable.
    #[arg(long, value_name = "NAME")]
    metric: Vec<String>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Compare the calls of single components, too.
    #[arg(long)]
    components: bool,
    /// The p below which a difference is called one. With many metrics, chance gives that many of
    /// them a lower p.
    #[arg(long, value_name = "P", default_value_t = ALPHA, value_parser = rate)]
    alpha: f64,
    /// Compare estimates with exact counts all the same, and mark it.
    #[arg(long)]
    mix_origins: bool,
    /// Also show metrics that don't differ and learned bounds that are kept.
    #[arg(long)]
    all: bool,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// Form of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For a comment in a pull request.
    Markdown,
    /// For a CI's list of tests.
    Junit,
}

pub(super) fn run(args: &CompareArgs) -> Result<Exit> {
    let mut a = args.group(&args.a)?;
    let mut b = args.group(&args.b)?;
    share_scenario(&mut a, &mut b);
    let has_some = !a.runs.is_empty();
    a.runs
        .retain(|run| b.runs.iter().all(|judged| judged.id != run.id));
    if a.runs.is_empty() && args.limits.bootstrap {
        return args.limits.judge_the_first();
    }
    if a.runs.is_empty() && has_some {
        bail!("all runs of {} are in {}, too", args.a, args.b);
    }
    let runs = a.runs.iter().chain(&b.runs);
    let asked = Metrics::only(args.metric.iter().cloned());
    asked.check(runs).map_err(anyhow::Error::msg)?;
    let mut found = match report::compare(&a, &b, &args.metrics(), &args.how()) {
        Ok(found) => found,
        Err(error) => {
            tell!("kubetoll: {error}");
            return Ok(Exit::Usage);
        }
    };
    let limits = &args.limits;
    report::judge(&mut found, &a, &b, &limits.how_to_judge());
    let text = match args.output {
        Form::Text => compare_text::text(&found, args.all),
        Form::Json => serde_json::to_string_pretty(&found)? + "\n",
        Form::Markdown => compare_text::markdown(&found, args.all),
        Form::Junit => report::junit(&found)? + "\n",
    };
    let written = lines::print(&text);
    Ok(report::comparison_exit(&found, limits.bootstrap).or(written))
}

impl CompareArgs {
    fn how(&self) -> HowToCompare {
        HowToCompare {
            alpha: self.alpha,
            of_components: self.components
                || self.limits.of_components()
                || self.metrics().of_components(),
            mix_origins: self.mix_origins,
        }
    }

    /// A metric that a limit names is compared even if nobody asks to see it.
    fn metrics(&self) -> Metrics {
        let named = self.metric.iter().cloned();
        let names = named.chain(self.limits.names().map(str::to_owned));
        if self.metric.is_empty() {
            Metrics::all_and(names)
        } else {
            Metrics::only(names)
        }
    }

    /// The runs of a group that count; none if none does.
    fn group(&self, name: &str) -> Result<Group> {
        let path = Path::new(name);
        let runs = if path.is_file() {
            vec![read_run(path)?]
        } else if name == NEWEST {
            let mut runs = self.select(&Selection::default())?;
            runs.retain(|run| self.limits.failed.takes(run));
            runs.split_off(runs.len().saturating_sub(1))
        } else if name.contains('=') {
            self.select(&Selection::of(name).map_err(anyhow::Error::msg)?)?
        } else {
            vec![self.stored(name)?]
        };
        if runs.is_empty() {
            bail!("no run of the history {} is {name}", self.store.location()?);
        }
        Ok(Group {
            name: name.to_owned(),
            runs: self.limits.failed.taken(name, runs),
        })
    }

    fn select(&self, selection: &Selection) -> Result<Vec<HistoryRun>> {
        let mut filter = self.select.filter();
        filter.labels.extend(selection.labels.iter().cloned());
        filter.since = filter.since.max(selection.since);
        let ends = [filter.until, selection.until];
        filter.until = ends.into_iter().flatten().min();
        let mut store = self.store.open()?;
        let runs = store.runs(&filter)?;
        Ok(priced(&mut store, runs)?)
    }

    fn stored(&self, id: &str) -> Result<HistoryRun> {
        let mut found = self.store.open()?.run(id)?;
        found.iter_mut().for_each(report::price_anew);
        found.with_context(|| match self.store.location() {
            Ok(location) => format!("{id} is no file and no run of the history {location}"),
            Err(error) => error.to_string(),
        })
    }
}

/// Runs by their labels and their time: `job=nightly,until=2024-10-21`.
#[derive(Debug, Default)]
struct Selection {
    labels: Vec<(String, String)>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Selection {
    fn of(text: &str) -> Result<Self, String> {
        let mut selection = Self::default();
        for part in text.split(',') {
            let (key, value) = key_value(part).map_err(|error| format!("{text:?}: {error}"))?;
            match key.as_str() {
                "since" => selection.since = Some(time(&value)?),
                "until" => selection.until = Some(time(&value)?),
                _ => selection.labels.push((key, value)),
            }
        }
        Ok(selection)
    }
}

/// A file whose name tells no scenario is of the scenario that it is compared with.
fn share_scenario(a: &mut Group, b: &mut Group) {
    let scenarios = |group: &Group| -> Vec<String> {
        let runs = group.runs.iter();
        runs.map(|run| run.label(label::SCENARIO).to_owned())
            .collect()
    };
    let (of_a, of_b) = (scenarios(a), scenarios(b));
    let (unknown, scenario) = match (&of_a[..], &of_b[..]) {
        ([one], [other, ..]) if one.is_empty() => (a, other),
        ([other, ..], [one]) if one.is_empty() => (b, other),
        _ => return,
    };
    for run in &mut unknown.runs {
        run.labels
            .insert(label::SCENARIO.to_owned(), scenario.clone());
    }
}
