//! `kubetoll audit` and `kubetoll verify`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Args;
use flate2::bufread::MultiGzDecoder;
use jiff::{SignedDuration, Timestamp};

use super::{Exit, Output};
use record::{RunRecord, Verification};
use terminal::lines;
use terminal::tell;
use verify::audit::{AuditCounter, AuditEntry, AuditFilter, AuditReader, verify};

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
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&report)? + "\n",
        Output::Text => report::text::audit(&report),
    };
    let exit = lines::print(&text);
    Ok(if damaged > 0 { Exit::Failed } else { exit })
}

pub(super) fn run_verify(args: &VerifyArgs) -> Result<Exit> {
    let name = args.record.display();
    let text = std::fs::read(&args.record).with_context(|| format!("cannot read {name}"))?;
    let run: RunRecord =
        serde_json::from_slice(&text).with_context(|| format!("{name} is no record of a run"))?;
    let from = run.started.checked_sub(MARGIN)?;
    let mut log = Vec::new();
    let damaged = read_all(&args.files, |entry| {
        if entry.received >= from {
            log.push(entry);
        }
    })?;
    let found = verify(&run, &log);
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&found)? + "\n",
        Output::Text => report::text::verification(&found),
    };
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

/// Longest line that is read whole: the largest object twice, as request and response.
const LINE_MAX: u64 = 64 << 20;

/// Reads logs; gives the number of damaged lines, each of which it named. A file that ends in the
/// middle, as a gzipped one does that is still being written, has one more.
pub(super) fn read_all(files: &[PathBuf], mut each: impl FnMut(AuditEntry)) -> Result<u64> {
    let mut reader = AuditReader::default();
    let mut damaged = 0;
    let mut line = Vec::new();
    for file in files {
        let name = file.display();
        let mut log = open(file).with_context(|| format!("cannot read {name}"))?;
        for number in 1_u64.. {
            match read_line(&mut *log, &mut line) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    damaged += 1;
                    tell!("kubetoll: {name}:{number}: the rest cannot be read: {error}");
                    break;
                }
            }
            match reader.line(&line) {
                Ok(Some(entry)) => each(entry),
                Ok(None) => {}
                Err(bad) => {
                    damaged += 1;
                    tell!("kubetoll: {name}:{number}: {}", bad.reason);
                }
            }
        }
    }
    Ok(damaged)
}

/// The next line; false at the end. Of one that is too long the beginning, which is no event.
fn read_line(log: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = log.take(LINE_MAX).read_until(b'\n', line)?;
    if read as u64 == LINE_MAX && line.last() != Some(&b'\n') {
        log.skip_until(b'\n')?;
    }
    Ok(read > 0)
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let plain: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path)?)
    };
    let mut plain = BufReader::with_capacity(1 << 16, plain);
    let is_gzip = plain.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip {
        Box::new(BufReader::with_capacity(
            1 << 16,
            MultiGzDecoder::new(plain),
        ))
    } else {
        Box::new(plain)
    })
}
