//! `kubetoll changes`: where the history changes.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use super::shared::{
    history::{SelectArgs, StoreArgs},
    limits::rate,
    output::Output,
};
use record::{Acknowledgement, Change};
use report::{Sensitivity, changes_text};
use store::Store;
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
  kubetoll changes --metric PATCH-pods --since 2024-10-01 --output json
  kubetoll changes --fail
  kubetoll changes ack 'nightly/vmi/PATCH-pods-count@2024-10-22T08:22:23Z'"
)]
pub(super) struct ChangesArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    find: FindArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Acknowledge a change: it is not reported again.
    Ack(AckArgs),
}

#[derive(Debug, Args)]
struct FindArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    select: SelectArgs,
    /// Only this metric, such as PATCH-pods; repeatable.
    #[arg(long, value_name = "NAME")]
    metric: Vec<String>,
    /// Look at the calls of single components, too.
    #[arg(long)]
    components: bool,
    /// Show the runs around each change.
    #[arg(long)]
    around: bool,
    /// Show changes that were acknowledged, too.
    #[arg(long)]
    acknowledged: bool,
    /// Exit with 3 if there is a change that was not acknowledged.
    #[arg(long)]
    fail: bool,
    #[command(flatten)]
    sensitivity: SensitivityArgs,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
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

/// Acknowledge a change by the id that --output json gives, or list what is acknowledged.
#[derive(Debug, Args)]
struct AckArgs {
    /// JOB/SCENARIO/METRIC@TIME: a change of the history.
    #[arg(required_unless_present = "list")]
    id: Option<String>,
    /// Take an acknowledgement back.
    #[arg(long)]
    undo: bool,
    /// List the acknowledgements.
    #[arg(long, conflicts_with_all = ["id", "undo"])]
    list: bool,
    #[command(flatten)]
    store: StoreArgs,
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
        let mut store = self.store.open()?;
        let mut found = self.find(&mut store)?;
        let acks = store.acks()?;
        let is_new = |change: &Change| !report::is_acknowledged(change, &acks);
        let alarm = self.fail && found.iter().any(is_new);
        if !self.acknowledged {
            found.retain(is_new);
        }
        let around = self.around;
        let text = self
            .output
            .of(&found, |found| changes_text::changes(found, around))?;
        let written = lines::print(&text);
        Ok(if alarm { Exit::NotMet } else { written })
    }

    fn find(&self, store: &mut Store) -> Result<Vec<Change>> {
        let runs = store.runs(&self.select.filter())?;
        if runs.is_empty() {
            bail!(
                "no run of the history {} is selected",
                self.store.location()?
            );
        }
        let wanted = |name: &str| {
            self.metric.is_empty()
                || self
                    .metric
                    .iter()
                    .any(|metric| report::is_named(name, metric))
        };
        let components = self.components || self.metric.iter().any(|metric| metric.contains(':'));
        let how = self.sensitivity.get();
        Ok(report::changes(&runs, components, wanted, &how))
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
        let mut store = self.store.open()?;
        let Some(id) = &self.id else {
            return self.list(&store.acks()?);
        };
        let ack = parse(id).with_context(|| {
            format!("{id:?} names no change: `kubetoll changes --output json` has the ids")
        })?;
        let acks = store.acks()?;
        if self.undo {
            if !acks.contains(&ack) {
                bail!("{id} is not acknowledged");
            }
            store.unack(&ack)?;
            tell!("{id} is reported again");
        } else if acks.contains(&ack) {
            bail!("{id} is acknowledged already");
        } else {
            self.check_change(&mut store, &ack)?;
            store.ack(&ack)?;
            tell!("{id} is not reported again");
        }
        Ok(Exit::Ok)
    }

    fn list(&self, acks: &[Acknowledgement]) -> Result<Exit> {
        let text = self.output.of(acks, changes_text::acknowledgements)?;
        let written = lines::print(&text);
        Ok(written)
    }

    /// An id that was misspelt would acknowledge nothing, for good. What another sensitivity finds
    /// may be acknowledged too, so that a run at that time with that metric is enough.
    fn check_change(&self, store: &mut Store, ack: &Acknowledgement) -> Result<()> {
        let mut filter = store::Filter {
            since: Some(ack.at),
            ..store::Filter::default()
        };
        filter.job = (!ack.job.is_empty()).then(|| ack.job.clone());
        filter.scenario = (!ack.scenario.is_empty()).then(|| ack.scenario.clone());
        let runs = store.runs(&filter)?;
        let is_there = runs.first().is_some_and(|run| run.at == ack.at);
        if !is_there {
            bail!(
                "the history {} has no run of job {} and scenario {} at {}",
                self.store.location()?,
                ack.job,
                ack.scenario,
                ack.at
            );
        }
        Ok(())
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
fn parse(id: &str) -> Option<Acknowledgement> {
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
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
