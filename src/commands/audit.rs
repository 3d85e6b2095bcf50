//! `kubetoll audit` and `kubetoll verify`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::shared::{audit_logs::read_all, inputs::read_record, output::Output};
use record::Verification;
use terminal::{exit::Exit, lines};
use verify::audit::{AuditCounter, AuditFilter, verify};

/// Events of a request can be this much older than the run's beginning: it was under way then.
const MARGIN: SignedDuration = SignedDuration::from_hours(2);

/// Count the requests of kube-apiserver audit logs, one entry per request.
///
/// Reads JSON lines, gzipped or not, `-` for standard input; rotated files in any order. `values`
/// are KubeVirt's VERB-resource-count values over its own service accounts; `counts` has all users.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: kubetoll audit --since 2026-11-24T01:00:00Z audit.log audit-old.log.gz"
)]
pub(super) struct AuditArgs {
    /// Audit logs; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only requests answered at this time or later (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only requests answered before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Only these components or users, such as virt-controller.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    components: Vec<String>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Compare the record of a run with the audit log of the API server.
///
/// Request by request where the run recorded audit IDs (run --audit-ids), by counts otherwise.
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
    let mut counter = AuditCounter::new(AuditFilter {
        since: args.since,
        until: args.until,
        components: args.components,
    });
    let damaged = read_all(&args.files, |entry| counter.add(&entry))?;
    let report = counter.report();
    let text = args.output.of(&report, report::text::audit)?;
    let exit = lines::print(&text);
    Ok(if damaged > 0 { Exit::Failed } else { exit })
}

pub(super) fn run_verify(args: &VerifyArgs) -> Result<Exit> {
    let run = read_record(&args.record)?;
    let from = run.started.checked_sub(MARGIN)?;
    let mut log = Vec::new();
    let damaged = read_all(&args.files, |entry| {
        if entry.received >= from {
            log.push(entry);
        }
    })?;
    let found = verify(&run, &log);
    let text = args.output.of(&found, report::text::verification)?;
    match lines::print(&text) {
        Exit::Ok if damaged > 0 => Ok(Exit::Failed),
        Exit::Ok => Ok(verdict(&found)),
        exit => Ok(exit),
    }
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
