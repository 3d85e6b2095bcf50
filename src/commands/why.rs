//! `kubetoll why`: which calls of a run need not have been made, and why they were.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{journal::needs_journal, shared::history::StoreArgs};
use findings::Request;
use record::{CallFinding, RunRecord};
use report::why::{self, Of};
use terminal::{
    exit::{Exit, Misuse},
    lines,
};

/// Say why a run's calls were made that failed or could go.
///
/// Looks for failures and their reasons, conflicts with both writers, writes that changed nothing,
/// reads of what was known, hot objects, lists without limit and more, in the journal that a run keeps
/// (`run --journal`, in a lab and with `exec` by itself). Of two runs it says what is new, gone, more
/// and less.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll why run-1795496959-j5vw5
  kubetoll why results/record.json --component virt-controller
  kubetoll why before.json after.json
  kubetoll why results/record.json --output json | jq '.[] | select(.kind == \"no-op-write\")'

Each failed call is in one finding with a code. What could go is counted once over all findings.")]
pub(super) struct WhyArgs {
    /// The run's record.json, or its id in the history; two to compare them.
    #[arg(value_name = "RUN", required = true, num_args = 1..=2)]
    runs: Vec<String>,
    /// Only findings of this component.
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
    /// What the deletion of the run's objects cost, in place of their creation.
    #[arg(long)]
    deletion: bool,
    /// Only the first N findings.
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    #[command(flatten)]
    store: StoreArgs,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    output: WhyOutput,
}

/// Form of the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum WhyOutput {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// A table of Markdown.
    Markdown,
}

pub(super) fn run(args: &WhyArgs) -> Result<Exit> {
    let records: Vec<RunRecord> = args
        .runs
        .iter()
        .map(|run| args.store.record(run))
        .collect::<Result<_>>()?;
    let text = match &records[..] {
        [record] => args.of_one(record)?,
        [a, b] => args.of_two(a, b)?,
        _ => bail!(Misuse("one run, or two".to_owned())),
    };
    Ok(lines::print(&text))
}

impl WhyArgs {
    fn of_one(&self, record: &RunRecord) -> Result<String> {
        let requests = self.requests(record)?;
        let mut found = self.find(record, &requests);
        found.truncate(self.top.unwrap_or(found.len()));
        let of = Of {
            run: &record.id,
            scenario: &record.scenario,
            simulated: record.simulated,
            calls: requests.iter().filter(|request| !request.is_before).count() as u64,
        };
        Ok(match self.output {
            WhyOutput::Text => why::text(&of, &found),
            WhyOutput::Markdown => why::markdown(&of, &found),
            WhyOutput::Json => json(&found)?,
        })
    }

    fn of_two(&self, a: &RunRecord, b: &RunRecord) -> Result<String> {
        let found = |record| Ok::<_, anyhow::Error>(self.find(record, &self.requests(record)?));
        let changes = findings::compare(&found(a)?, &found(b)?);
        match self.output {
            WhyOutput::Json => json(&changes),
            WhyOutput::Text => Ok(why::changes(&a.id, &b.id, &changes)),
            WhyOutput::Markdown => bail!(Misuse(
                "two runs are compared as text or JSON, not as Markdown".to_owned()
            )),
        }
    }

    fn requests<'r>(&self, record: &'r RunRecord) -> Result<Vec<Request<'r>>> {
        needs_journal(record, self.deletion)?;
        Ok(if self.deletion {
            findings::deletion_requests(record)
        } else {
            findings::requests(record)
        })
    }

    fn find(&self, record: &RunRecord, requests: &[Request<'_>]) -> Vec<CallFinding> {
        let objects = (!record.objects.is_empty()).then_some(record.objects.len() as u64);
        let mut found = findings::findings(requests, objects);
        if let Some(component) = &self.component {
            found.retain(|finding| finding.component == *component);
        }
        found
    }
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
