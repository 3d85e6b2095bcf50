//! `kubetoll audit` and `kubetoll verify`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::shared::{
    audit_logs::read_all, history::time, inputs::read_record, output::Output, prices::PricesArgs,
};
use record::Verification;
use report::meant;
use terminal::{exit::Exit, lines, tell};
use verify::audit::{AuditCounter, AuditFilter, verify};

/// Events of a request can be this much older than the run's beginning: it was under way then.
const MARGIN: SignedDuration = SignedDuration::from_hours(2);

/// Count the requests of kube-apiserver audit logs, one entry per request.
///
/// Reads JSON lines, gzipped or not, `-` for standard input; rotated files in any order. Events that
/// a logging pipeline has wrapped are found in its lines, such as those of AKS, of CloudWatch and of
/// `oc adm node-logs`. `values` are KubeVirt's VERB-resource-count values over its own service
/// accounts; `counts` has all users.
///
/// It says what the requests cost the API server by --prices, and who costs most.
///
/// Exits with 4 where requests can't be counted: nothing was found, or the API server's audit policy
/// leaves out a stage.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: kubetoll audit --since 2026-11-24T01:00:00Z audit.log audit-old.log.gz"
)]
pub(super) struct AuditArgs {
    /// Audit logs; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only requests answered at this time or later: 2026-11-24 (in UTC) or 2026-11-24T01:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only requests answered before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only these components or users, such as virt-controller.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    components: Vec<String>,
    #[command(flatten)]
    prices: PricesArgs,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Compare the record of a run with the audit log of the API server.
///
/// Request by request where the run kept a journal (run --journal), by counts otherwise.
/// Exits with 0 only when nothing is unexplained, with 3 otherwise, and with 4 where record and
/// log don't overlap.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The run's record.json.
    record: PathBuf,
    /// Audit logs; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run_audit(args: AuditArgs) -> Result<Exit> {
    let prices = args.prices.read()?;
    let mut counter = AuditCounter::new(AuditFilter {
        since: args.since,
        until: args.until,
        components: args.components,
    });
    let read = read_all(&args.files, |entry| counter.add(&entry))?;
    let unknown = tell_unknown(&counter);
    let mut report = counter.report(read.log.clone());
    if let Some(list) = &prices {
        prices::charge_audit(&mut report, list);
    }
    let counted = read.tell_nothing(report.counts.is_empty());
    let text = args.output.of(&report, report::text::audit)?;
    Ok(lines::print(&text).or(read.exit()).or(counted).or(unknown))
}

/// Says which of the components that were asked for no request of the log is by.
fn tell_unknown(counter: &AuditCounter) -> Exit {
    let mut exit = Exit::Ok;
    for name in counter.unknown() {
        let meant = meant(name, counter.callers());
        tell!("kubetoll: the log has no request of {name}, at any time: {meant}");
        exit = Exit::NotValid;
    }
    exit
}

pub(super) fn run_verify(args: &VerifyArgs) -> Result<Exit> {
    let run = read_record(&args.record)?;
    let from = run.started.checked_sub(MARGIN)?;
    let mut log = Vec::new();
    let read = read_all(&args.files, |entry| {
        if entry.received >= from {
            log.push(entry);
        }
    })?;
    let found = verify(&run, &log);
    let text = args.output.of(&found, report::text::verification)?;
    read.tell_wrapped();
    Ok(lines::print(&text).or(read.exit()).or(verdict(&found)))
}

fn verdict(found: &Verification) -> Exit {
    if !found.overlaps {
        Exit::NotValid
    } else if found.unexplained_count > 0 {
        Exit::NotMet
    } else {
        Exit::Ok
    }
}
