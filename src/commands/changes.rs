//! `kubetoll changes`: where the history changes.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use super::shared::{
    failed::FailedArgs,
    history::{SelectArgs, StoreArgs},
    limits::rate,
    output::Output,
    priced::priced_for,
};
use record::{Acknowledgement, Change, number_of};
use report::{Metrics, Sensitivity, SeriesCount, changes_text, meant};
use store::{Filter, Store};
use terminal::{exit::Exit, lines, tell};

/// Find the changes in the history: steps, and metrics that went missing or came back.
///
/// Each job, scenario and number of objects is a series of its own. Candidates are found as in
/// Apache Otava (E-divisive, tested with Student's t); a step is reported if its levels last, and
/// if it is large in percent and compared to the noise. A metric that vanishes is reported as
/// missing and never as an improvement. What was acknowledged is not reported again.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  kubetoll changes --job nightly --scenario vmi --around
  kubetoll changes --metric PATCH-pods-count --since 2024-10-01 --output json
  kubetoll changes --fail
  kubetoll changes ack nightly/vmi/PATCH-pods-count@2024-10-22T08:22:23Z
  kubetoll changes ack --job nightly --until 2024-10-01"
)]
pub(super) struct ChangesArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    find: FindArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Acknowledge changes: they are not reported again.
    Ack(AckArgs),
}

#[derive(Debug, Args)]
struct FindArgs {
    #[command(flatten)]
    search: SearchArgs,
    /// Show the runs around each change.
    #[arg(long)]
    around: bool,
    /// Show changes that were acknowledged, too.
    #[arg(long)]
    acknowledged: bool,
    /// Exit with 3 if there is a change that was not acknowledged.
    #[arg(long)]
    fail: bool,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Changes, and of the runs in which they were found how many are not valid, and in how many series
/// they are.
struct Found {
    changes: Vec<Change>,
    not_valid: usize,
    series: SeriesCount,
}

/// Which changes. The whole history is looked at, whatever is shown of it: fewer runs would move the
/// changes.
#[derive(Debug, Args)]
struct SearchArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    failed: FailedArgs,
    /// Only this metric, such as PATCH-pods-count or cost, or several by a *; repeatable.
    #[arg(long, value_name = "NAME")]
    metric: Vec<String>,
    /// Look at the calls of single components, too.
    #[arg(long)]
    components: bool,
    #[command(flatten)]
    sensitivity: SensitivityArgs,
}

/// When a difference is reported. The defaults are [`Sensitivity`]'s.
#[derive(Debug, Args)]
struct SensitivityArgs {
    /// Runs that are looked at together.
    #[arg(long, value_name = "RUNS", default_value_t = Sensitivity::default().detection.window as u32,
        value_parser = clap::value_parser!(u32).range(4..=1000))]
    window: u32,
    /// The p below which a change is one.
    #[arg(long, value_name = "P", default_value_t = Sensitivity::default().detection.max_p, value_parser = rate)]
    max_p: f64,
    /// Runs that a level must last, where numbers vary.
    #[arg(long, value_name = "RUNS", default_value_t = Sensitivity::default().min_runs as u32,
        value_parser = clap::value_parser!(u32).range(2..=1000))]
    min_runs: u32,
    /// Change of the median in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = Sensitivity::default().min_percent, value_parser = size)]
    min_percent: f64,
    /// Change of the median in robust standard deviations of the runs.
    #[arg(long, value_name = "N", default_value_t = Sensitivity::default().min_deviations, value_parser = size)]
    min_deviations: f64,
}

/// Acknowledge changes by their ids, or all up to a day, or list what is acknowledged.
#[derive(Debug, Args)]
struct AckArgs {
    /// JOB/SCENARIO/METRIC@TIME, as `kubetoll changes` shows it; several may be given.
    #[arg(value_name = "ID", required_unless_present_any = ["list", "until"])]
    ids: Vec<String>,
    /// Take acknowledgements back.
    #[arg(long, requires = "ids")]
    undo: bool,
    /// List the acknowledgements.
    #[arg(long, conflicts_with_all = ["ids", "undo", "until"])]
    list: bool,
    #[command(flatten)]
    search: SearchArgs,
    /// Form of the list.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &ChangesArgs) -> Result<Exit> {
    match &args.what {
        Some(What::Ack(ack)) => ack.run(),
        None => args.find.run(),
    }
}

impl FindArgs {
    fn run(&self) -> Result<Exit> {
        let mut store = self.search.store.open()?;
        let Found {
            changes: mut found,
            not_valid,
            series,
        } = self.search.find(&mut store)?;
        let acks = store.acks()?;
        let is_new = |change: &Change| !report::is_acknowledged(change, &acks);
        let alarm = self.fail && found.iter().any(is_new);
        if !self.acknowledged {
            found.retain(is_new);
        }
        let around = self.around;
        let short = changes_text::too_short(series, &self.search.sensitivity.get());
        if let (Output::Json, Some(short)) = (self.output, &short) {
            tell!("kubetoll: {short}");
        }
        let text = self.output.of(&found, |found| {
            changes_text::changes(found, around, not_valid, short.as_deref())
        })?;
        let written = lines::print(&text);
        Ok(if alarm { Exit::NotMet } else { written })
    }
}

impl SearchArgs {
    /// The changes within the time that was asked for, of all runs of any time.
    fn find(&self, store: &mut Store) -> Result<Found> {
        let asked = self.select.filter();
        let (since, until) = (asked.since, asked.until);
        let filter = Filter {
            since: None,
            until: None,
            ..asked
        };
        let runs = store.runs(&filter)?;
        let runs = priced_for(self.metric.iter().map(String::as_str), store, runs)?;
        let runs = self.failed.taken("the history", runs);
        if runs.is_empty() {
            return Err(self.store.no_such_run(store));
        }
        let metrics = self.metrics();
        metrics.check(&runs).map_err(anyhow::Error::msg)?;
        let of_components = self.components || metrics.of_components();
        let mut found = report::changes(&runs, of_components, &metrics, &self.sensitivity.get());
        found.retain(|change| {
            since.is_none_or(|since| change.at >= since)
                && until.is_none_or(|until| change.at < until)
        });
        Ok(Found {
            changes: found,
            series: SeriesCount::of(&runs),
            not_valid: runs.iter().filter(|run| !run.valid).count(),
        })
    }

    fn metrics(&self) -> Metrics {
        match &self.metric[..] {
            [] => Metrics::all_and([]),
            names => Metrics::only(names.iter().cloned()),
        }
    }
}

impl SensitivityArgs {
    fn get(&self) -> Sensitivity {
        let mut how = Sensitivity::default();
        how.detection.window = self.window as usize;
        how.detection.max_p = self.max_p;
        how.min_runs = self.min_runs as usize;
        how.min_percent = self.min_percent;
        how.min_deviations = self.min_deviations;
        how
    }
}

impl AckArgs {
    fn run(&self) -> Result<Exit> {
        let mut store = self.search.store.open()?;
        if self.list {
            let acks = store.acks()?;
            let text = self.output.of(&acks[..], changes_text::acknowledgements)?;
            return Ok(lines::print(&text));
        }
        if self.ids.is_empty() {
            return self.ack_all(&mut store);
        }
        let acks = self.ids.iter().map(|id| parse(id));
        let acks: Vec<Acknowledgement> = acks.collect::<Result<_>>()?;
        for (id, ack) in self.ids.iter().zip(&acks) {
            self.check(&mut store, id, ack)?;
        }
        for (id, ack) in self.ids.iter().zip(&acks) {
            if self.undo {
                store.unack(ack)?;
                tell!("{id} is reported again");
            } else {
                store.ack(ack)?;
                tell!("{id} is not reported again");
            }
        }
        Ok(Exit::Ok)
    }

    /// Acknowledges what is found within the time that was asked for.
    fn ack_all(&self, store: &mut Store) -> Result<Exit> {
        let known = store.acks()?;
        let mut found = self.search.find(store)?.changes;
        found.retain(|change| !report::is_acknowledged(change, &known));
        for change in &found {
            store.ack(&acknowledgement(change))?;
        }
        let are = if found.len() == 1 { "is" } else { "are" };
        let changes = number_of(found.len() as u64, "change");
        tell!("{changes} {are} not reported again");
        Ok(Exit::Ok)
    }

    /// Whether there is such a change to acknowledge, or such an acknowledgement to take back: an id
    /// that was misspelt would do nothing, for good.
    fn check(&self, store: &mut Store, id: &str, ack: &Acknowledgement) -> Result<()> {
        let is_known = store.acks()?.contains(ack);
        match (self.undo, is_known) {
            (true, true) => return Ok(()),
            (true, false) => bail!("{id} is not acknowledged"),
            (false, true) => bail!("{id} is acknowledged already"),
            (false, false) => {}
        }
        let filter = Filter {
            job: (!ack.job.is_empty()).then(|| ack.job.clone()),
            scenario: (!ack.scenario.is_empty()).then(|| ack.scenario.clone()),
            ..Filter::default()
        };
        let mut runs = store.runs(&filter)?;
        runs.retain(|run| self.search.failed.takes(run));
        let metrics = Metrics::only([ack.metric.clone()]);
        metrics.check(&runs).map_err(anyhow::Error::msg)?;
        let how = self.search.sensitivity.get();
        let found = report::changes(&runs, metrics.of_components(), &metrics, &how);
        let known: Vec<&str> = found.iter().map(|change| change.id.as_str()).collect();
        if !known.contains(&id) {
            bail!(
                "the history {} has no change {id}: {}",
                self.search.store.location()?,
                meant(id, known)
            );
        }
        Ok(())
    }
}

fn acknowledgement(change: &Change) -> Acknowledgement {
    Acknowledgement {
        job: change.job.clone(),
        scenario: change.scenario.clone(),
        metric: change.metric.clone(),
        at: change.at,
    }
}

/// A size that a change may have.
fn size(text: &str) -> Result<f64, String> {
    let size = text.parse().ok();
    let size = size.filter(|size: &f64| size.is_finite() && *size >= 0.0);
    size.ok_or_else(|| format!("{text:?} is no number from 0 on"))
}

/// `JOB/SCENARIO/METRIC@TIME`. A job may have slashes, and so may a component's metric after its
/// colon; a scenario has none.
fn parse(id: &str) -> Result<Acknowledgement> {
    acknowledged(id)
        .with_context(|| format!("{id:?} names no change: `kubetoll changes` has the ids"))
}

fn acknowledged(id: &str) -> Option<Acknowledgement> {
    let (name, at) = id.rsplit_once('@')?;
    let (head, subresource) = match name.split_once(':') {
        Some((head, metric)) => (head, Some(metric)),
        None => (name, None),
    };
    let (rest, metric) = head.rsplit_once('/')?;
    let (job, scenario) = rest.rsplit_once('/')?;
    Some(Acknowledgement {
        job: job.to_owned(),
        scenario: scenario.to_owned(),
        metric: match subresource {
            Some(name) => format!("{metric}:{name}"),
            None => metric.to_owned(),
        },
        at: at.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_job_scenario_metric_and_time() {
        for (job, scenario, metric) in [
            ("nightly", "vmi", "PATCH-pods-count"),
            (
                "periodic/a-1.29",
                "vm",
                "virt-controller:PATCH-pods/status-count",
            ),
            ("", "", "GET-nodes-count"),
        ] {
            let id = format!("{job}/{scenario}/{metric}@2024-10-22T08:22:23Z");
            let ack = parse(&id).unwrap();
            assert_eq!(
                (&*ack.job, &*ack.scenario, &*ack.metric),
                (job, scenario, metric)
            );
        }
        for bad in ["", "a/b@2024-10-22T08:22:23Z", "a/b/c", "a/b/c@yesterday"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
