//! `kubetoll why`: which calls of a run, or of an audit log, need not have been made, and why they were.

use std::{collections::BTreeSet, num::NonZeroUsize, path::PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{
    journal::needs_journal,
    shared::{audit_logs::read_requests, history::StoreArgs, prices::PricesArgs},
};
use findings::{Answer, Request};
use record::{CallFinding, PricesUsed, RunRecord};
use report::{
    meant,
    why::{self, AuditBodies, Cost, Of, Source},
};
use terminal::{
    exit::{Exit, Misuse},
    lines, tell,
};

/// Say why a run's calls were made that failed or could go.
///
/// Looks for failures and their reasons, conflicts with both writers, writes that changed nothing,
/// reads of what was known, hot objects, lists without limit and more, in the journal that a run keeps
/// (`run --journal`, in a lab and with `exec` by itself). Of two runs it says what is new, gone, more
/// and less.
///
/// With --audit it looks in kube-apiserver's audit logs, as `kubetoll audit` reads them, without a
/// proxy, and says what they don't tell. Writes that changed nothing and who wrote before a conflict
/// are only in a log of level RequestResponse. It exits with 4 where requests can't be counted:
/// nothing was found, or the API server's audit policy leaves out a stage.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll why run-1795496959-j5vw5
  kubetoll why newest --component virt-controller
  kubetoll why before.json after.json
  kubetoll why --audit audit.log audit-old.log.gz --component virt-handler
  kubetoll why results/record.json --output json | jq '.[] | select(.kind == \"no-op-write\")'

Each failed call is in one finding with a code. What could go is counted once over all findings.")]
pub(super) struct WhyArgs {
    /// The run's record.json, the file that a killed driver left, the run's id in the history, or
    /// `newest`; two to compare them.
    #[arg(value_name = "RUN", required_unless_present = "audit", num_args = 1..=2)]
    runs: Vec<String>,
    /// Audit logs of kube-apiserver in place of a run; `-` is standard input.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        conflicts_with_all = ["runs", "deletion"]
    )]
    audit: Vec<PathBuf>,
    /// Only findings of this component.
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
    /// What the deletion of the run's objects cost, in place of their creation.
    #[arg(long)]
    deletion: bool,
    /// Show the first N findings; the sums are of all.
    #[arg(long, value_name = "N")]
    top: Option<NonZeroUsize>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    prices: PricesArgs,
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
    if !args.audit.is_empty() {
        return args.of_audit();
    }
    let records: Vec<RunRecord> = args
        .runs
        .iter()
        .map(|run| args.store.record(run))
        .collect::<Result<_>>()?;
    match &records[..] {
        [record] => args.of_one(record),
        [a, b] => args.of_two(a, b),
        _ => bail!(Misuse("one run, or two".to_owned())),
    }
}

impl WhyArgs {
    fn of_one(&self, record: &RunRecord) -> Result<Exit> {
        let requests = self.requests(record)?;
        let source = Source::Run {
            id: &record.id,
            scenario: &record.scenario,
            simulated: record.simulated,
        };
        let text = self.shown(source, &requests, record.object_count())?;
        let known = self.tell_unknown("the run has", &requests);
        Ok(lines::print(&text).or(known))
    }

    /// Of audit logs. What these don't tell is said behind the findings, or beside them if they are
    /// for a program.
    fn of_audit(&self) -> Result<Exit> {
        let (log, read) = read_requests(&self.audit)?;
        let requests = log.requests();
        let files = self.audit.iter().map(|file| file.display().to_string());
        let files = files.collect::<Vec<_>>().join(", ");
        let mut text = self.shown(Source::AuditLog(&files), &requests, None)?;
        let untold = why::untold(&read.log, &bodies(&requests));
        if self.output == WhyOutput::Json {
            tell!("kubetoll: {untold}");
        } else {
            text += &format!("\n{untold}");
        }
        read.tell_wrapped();
        let counted = read.tell_nothing(requests.is_empty());
        let known = self.tell_unknown("the log has", &requests);
        Ok(lines::print(&text).or(read.exit()).or(counted).or(known))
    }

    /// Says it if a run or a log has no request of the component that was asked for.
    fn tell_unknown(&self, which: &str, requests: &[Request<'_>]) -> Exit {
        let known: BTreeSet<&str> = requests.iter().map(|request| request.component).collect();
        match &self.component {
            Some(name) if !known.contains(&**name) => {
                let meant = meant(name, known);
                tell!("kubetoll: {which} no request of {name}, at any time: {meant}");
                Exit::NotValid
            }
            _ => Exit::Ok,
        }
    }

    fn shown(
        &self,
        source: Source<'_>,
        requests: &[Request<'_>],
        objects: Option<u64>,
    ) -> Result<String> {
        let list = self.prices.read()?;
        let used = list.as_ref().map(PricesUsed::from);
        let mut found = findings::savings(requests, objects);
        found.retain(|saving| self.is_asked_for(&saving.finding.component));
        let requests = requests.iter().copied();
        let requests = requests.filter(|request| self.is_asked_for(request.component));
        let requests: Vec<Request<'_>> = requests.collect();
        let cpu_us = list.as_ref();
        let cpu_us = cpu_us.map(|list| prices::all_cpu_us(&requests, &found, list));
        let found: Vec<CallFinding> = match &list {
            Some(list) => prices::charge_findings(found, list),
            None => found.into_iter().map(|saving| saving.finding).collect(),
        };
        let shown = self.top.map_or(found.len(), NonZeroUsize::get);
        let cost = cpu_us.zip(used.as_ref());
        let of = Of {
            source,
            calls: requests.iter().filter(|request| !request.is_before).count() as u64,
            cost: cost.map(|(cpu_us, prices)| Cost { cpu_us, prices }),
            shown,
        };
        Ok(match self.output {
            WhyOutput::Text => why::text(&of, &found),
            WhyOutput::Markdown => why::markdown(&of, &found),
            WhyOutput::Json => json(&found[..shown.min(found.len())])?,
        })
    }

    fn of_two(&self, a: &RunRecord, b: &RunRecord) -> Result<Exit> {
        let (of_a, of_b) = (self.requests(a)?, self.requests(b)?);
        let changes = findings::compare(&self.find(a, &of_a), &self.find(b, &of_b));
        let text = match self.output {
            WhyOutput::Json => json(&changes)?,
            WhyOutput::Text => why::changes(&a.id, &b.id, &changes),
            WhyOutput::Markdown => bail!(Misuse(
                "two runs are compared as text or JSON, not as Markdown".to_owned()
            )),
        };
        if a.scenario != b.scenario {
            tell!(
                "kubetoll: {} was a run of {}, {} of {}: that alone makes them differ",
                a.id,
                a.scenario,
                b.id,
                b.scenario
            );
        }
        let known = self.tell_unknown("the runs have", &[of_a, of_b].concat());
        Ok(lines::print(&text).or(known))
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
        let mut found = findings::findings(requests, record.object_count());
        found.retain(|finding| self.is_asked_for(&finding.component));
        found
    }

    fn is_asked_for(&self, component: &str) -> bool {
        let asked = self.component.as_deref();
        asked.is_none_or(|asked| asked == component)
    }
}

/// Of how many updates and patches the bodies are not known.
fn bodies(requests: &[Request<'_>]) -> AuditBodies {
    let mut bodies = AuditBodies::default();
    for request in requests {
        let is_patch = request.call.verb == "patch";
        if !is_patch && request.call.verb != "update" {
            continue;
        }
        let [no_request, no_response] =
            [request.known.sent, request.known.object].map(|is_known| u64::from(!is_known));
        if request.answer.is_success() {
            bodies.written += 1;
            bodies.written_unread += no_response;
        } else if request.answer == Answer::Code(409) {
            bodies.refused += 1;
            bodies.refused_unread += no_request;
        }
        if is_patch {
            bodies.patches += 1;
            bodies.patches_unread += no_request;
        }
    }
    bodies
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
