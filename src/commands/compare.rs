//! `kubetoll compare`: two groups of runs, and what may differ.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::{
    Exit,
    history::{SelectArgs, StoreArgs, key_value, time},
};
use exchange::Known;
use record::{HistoryRun, RUN_SCHEMA, RunRecord, label};
use report::{Group, HowToCompare, Limit, compare_text};
use terminal::lines;
use terminal::tell;

/// The p below which a difference is called one.
const ALPHA: f64 = 0.01;
/// Names the newest valid run.
const NEWEST: &str = "newest";

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
  virt-controller:PATCH-pods/status>0%   the calls of one component
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
    /// Only this metric, such as PATCH-pods; repeatable.
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

/// What a comparison must keep.
#[derive(Debug, Clone, Args)]
pub(super) struct LimitArgs {
    /// Exit with 3 if this is so, against A or the earlier runs of the job: METRIC>N%, METRIC<-N%,
    /// METRIC>N, or learned; `kubetoll compare --help` explains them; repeatable.
    #[arg(long, value_name = "LIMIT")]
    pub(super) fail_on: Vec<Limit>,
    /// How often a learned bound of one metric may give a false alarm. 1 / RATE - 1 runs are needed
    /// to learn it.
    #[arg(long, value_name = "RATE", default_value_t = 0.01, value_parser = rate)]
    false_alarms: f64,
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
    a.runs
        .retain(|run| b.runs.iter().all(|judged| judged.id != run.id));
    if a.runs.is_empty() {
        bail!("all runs of {} are in {}, too", args.a, args.b);
    }
    let mut found = match report::compare(&a, &b, |name| args.wants(name), &args.how()) {
        Ok(found) => found,
        Err(error) => {
            tell!("kubetoll: {error}");
            return Ok(Exit::Usage);
        }
    };
    let limits = &args.limits;
    report::judge(&mut found, &a, &b, &limits.fail_on, limits.false_alarms);
    let text = match args.output {
        Form::Text => compare_text::text(&found, args.all),
        Form::Json => serde_json::to_string_pretty(&found)? + "\n",
        Form::Markdown => compare_text::markdown(&found, args.all),
        Form::Junit => report::junit(&found)? + "\n",
    };
    let written = lines::print(&text);
    Ok(report::comparison_exit(&found).or(written))
}

impl CompareArgs {
    fn how(&self) -> HowToCompare {
        HowToCompare {
            alpha: self.alpha,
            of_components: self.components || self.limits.of_components(),
            mix_origins: self.mix_origins,
        }
    }

    /// A metric that a limit names is compared even if nobody asks to see it.
    fn wants(&self, name: &str) -> bool {
        let mut limits = self.limits.fail_on.iter().filter_map(Limit::metric);
        self.metric.is_empty()
            || self
                .metric
                .iter()
                .any(|metric| report::is_named(name, metric))
            || limits.any(|metric| report::is_named(name, metric))
    }

    fn group(&self, name: &str) -> Result<Group> {
        let path = Path::new(name);
        let runs = if path.is_file() {
            vec![read_run(path)?]
        } else if name == NEWEST {
            let mut runs = self.select(&Selection::default())?;
            runs.retain(|run| run.valid);
            runs.split_off(runs.len().saturating_sub(1))
        } else if name.contains('=') {
            self.select(&Selection::of(name).map_err(anyhow::Error::msg)?)?
        } else {
            vec![self.stored(name)?]
        };
        if runs.is_empty() {
            bail!("no run of the history {} is {name}", self.store.location()?);
        }
        let name = name.to_owned();
        Ok(Group { name, runs })
    }

    fn select(&self, selection: &Selection) -> Result<Vec<HistoryRun>> {
        let mut filter = self.select.filter();
        filter.labels.extend(selection.labels.iter().cloned());
        filter.since = filter.since.max(selection.since);
        let ends = [filter.until, selection.until];
        filter.until = ends.into_iter().flatten().min();
        Ok(self.store.open()?.runs(&filter)?)
    }

    fn stored(&self, id: &str) -> Result<HistoryRun> {
        let found = self.store.open()?.run(id)?;
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

impl LimitArgs {
    /// Compares a run with the earlier ones that created as many objects; says on standard error
    /// what differs.
    pub(super) fn judge(&self, mut earlier: Vec<HistoryRun>, run: &HistoryRun) -> Result<Exit> {
        earlier.retain(|one| one.objects == run.objects && one.id != run.id);
        if earlier.is_empty() {
            bail!("it has no earlier run of that job, scenario and number of objects");
        }
        let (job, scenario) = (run.label(label::JOB), run.label(label::SCENARIO));
        let a = Group {
            name: format!("job={job},scenario={scenario}"),
            runs: earlier,
        };
        let b = Group {
            name: run.id.clone(),
            runs: vec![run.without_record()],
        };
        let how = HowToCompare {
            alpha: ALPHA,
            of_components: self.of_components(),
            mix_origins: false,
        };
        let mut found = report::compare(&a, &b, |name| self.names(name), &how)?;
        report::judge(&mut found, &a, &b, &self.fail_on, self.false_alarms);
        lines::tell_report(&format!("\n{}", compare_text::text(&found, false)));
        Ok(report::comparison_exit(&found))
    }

    /// Whether a metric is one that a limit is on.
    fn names(&self, name: &str) -> bool {
        let mut limits = self.fail_on.iter();
        limits.any(|limit| match limit.metric() {
            Some(metric) => report::is_named(name, metric),
            None => true,
        })
    }

    /// Whether a limit is on a component's own calls.
    fn of_components(&self) -> bool {
        self.fail_on.iter().any(|limit| match limit.metric() {
            Some(metric) => metric.contains(':'),
            None => true,
        })
    }
}

/// A run in a file: `record.json`, or a results file of perfscale-audit, of which only the name
/// can tell the scenario.
pub(super) fn read_run(path: &Path) -> Result<HistoryRun> {
    let name = path.display();
    let text = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let value: serde_json::Value =
        serde_json::from_slice(&text).with_context(|| format!("{name} is no JSON"))?;
    if value.get("schema").is_some() {
        let record: RunRecord = serde_json::from_value(value)
            .with_context(|| format!("{name} is no record of a run ({RUN_SCHEMA})"))?;
        return Ok(report::history_run(record, &BTreeMap::new()));
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let scenario = exchange::scenario_of_file(&file).unwrap_or_default();
    let known = Known::default();
    exchange::perf_audit_run(name.to_string(), Timestamp::now(), scenario, &text, &known)
        .with_context(|| format!("{name} is neither a record of a run nor a results file"))
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

/// A probability.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if rate > 0.0 && rate < 1.0 {
        Ok(rate)
    } else {
        Err("a rate is between 0 and 1, such as 0.01".to_owned())
    }
}
