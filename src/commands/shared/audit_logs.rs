//! Audit logs of kube-apiserver, read line by line.

use std::{
    fmt::Display,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use flate2::bufread::MultiGzDecoder;

use record::{AuditLog, number_of};
use terminal::{exit::Exit, tell};
use verify::audit::{AuditEntry, AuditReader, AuditRequests, BadLine};

/// Longest line that is read whole: the largest object twice, as request and response.
const LINE_MAX: u64 = 64 << 20;

/// How many damaged lines of a file are named.
const NAMED_MAX: u64 = 10;

/// What was read.
pub(crate) struct ReadLogs {
    /// Damaged lines. A file that ends in the middle, as a gzipped one does that is still being
    /// written, has one more.
    damaged: u64,
    /// What the logs were, taken together.
    pub(crate) log: AuditLog,
}

impl ReadLogs {
    /// How a command ends for which all went well otherwise. What is missing is said.
    pub(crate) fn exit(&self) -> Exit {
        for stage in &self.log.missing {
            tell!("kubetoll: {}", report::text::missing_stage(stage));
        }
        if self.damaged > 0 {
            Exit::Failed
        } else if self.log.missing.is_empty() {
            Exit::Ok
        } else {
            Exit::NotValid
        }
    }

    /// Says why nothing was counted, if that is so.
    pub(crate) fn tell_nothing(&self, is_nothing: bool) -> Exit {
        if !is_nothing {
            return Exit::Ok;
        }
        tell!("kubetoll: nothing was counted: {}", self.nothing());
        Exit::NotValid
    }

    /// Why nothing was counted in the logs.
    pub(crate) fn nothing(&self) -> String {
        match self.log.events() {
            0 => "there is no audit event in it".to_owned(),
            _ if self
                .log
                .missing
                .iter()
                .any(|stage| stage == "ResponseComplete") =>
            {
                "it has no event that says how a request ended".to_owned()
            }
            events => format!(
                "none of its {} is of a request that was asked for",
                number_of(events, "event")
            ),
        }
    }

    /// Says where events were that were not lines by themselves.
    pub(crate) fn tell_wrapped(&self) {
        for (place, count) in &self.log.wrapped {
            let were = if *count == 1 { "was" } else { "were" };
            let events = number_of(*count, "event");
            tell!("kubetoll: {events} {were} unwrapped: {place}");
        }
    }
}

/// Reads logs, and names damaged lines.
pub(crate) fn read_all(files: &[PathBuf], mut each: impl FnMut(AuditEntry)) -> Result<ReadLogs> {
    let mut reader = AuditReader::default();
    let damaged = read_lines(files, &mut |line| reader.line(line, &mut each))?;
    Ok(ReadLogs {
        damaged,
        log: reader.log(),
    })
}

/// The same for the requests that they have one by one.
pub(crate) fn read_requests(files: &[PathBuf]) -> Result<(AuditRequests, ReadLogs)> {
    let mut requests = AuditRequests::default();
    let damaged = read_lines(files, &mut |line| requests.line(line))?;
    let log = requests.log();
    Ok((requests, ReadLogs { damaged, log }))
}

/// Takes a line.
type Take<'f> = &'f mut dyn FnMut(&[u8]) -> Result<(), BadLine>;

/// Gives each line of logs to `take`; gives the number of those that it could not take.
fn read_lines(files: &[PathBuf], take: Take<'_>) -> Result<u64> {
    let mut damaged = 0;
    for file in files {
        let name = file.display();
        let mut log = open(file).with_context(|| format!("cannot read {name}"))?;
        let in_this = read(&name, &mut *log, take);
        if in_this > NAMED_MAX {
            let lines = number_of(in_this - NAMED_MAX, "line");
            tell!("kubetoll: {name}: {lines} more can't be read as audit events");
        }
        damaged += in_this;
    }
    Ok(damaged)
}

/// Reads one log; gives the number of its damaged lines, of which it names the first.
fn read(name: &dyn Display, log: &mut dyn BufRead, take: Take<'_>) -> u64 {
    let mut damaged = 0;
    let mut line = Vec::new();
    for number in 1_u64.. {
        match read_line(log, &mut line) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                // Not one of those that are only counted.
                tell!("kubetoll: {name}:{number}: the rest cannot be read: {error}");
                return damaged.max(1);
            }
        }
        if let Err(bad) = take(&line) {
            damaged += 1;
            if damaged <= NAMED_MAX {
                tell!("kubetoll: {name}:{number}: {}", bad.reason);
            }
        }
    }
    damaged
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
