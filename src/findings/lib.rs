//! Which calls of a run failed or were needless, and why.
//!
//! [`Request`] is one request, whatever told of it; [`requests`] takes those of a run's journals, and
//! the crate `verify` those of audit logs.
//! [`findings`] groups what it finds in them by component, call and reason; [`compare`] says what
//! another run has more and less of. docs/FORMATS.md defines each kind of finding.
//!
//! What one process did is held together by component and number of the process. Several processes of
//! a component behind the same proxy are taken for one.
//!
//! Invariants: each failed request is in exactly one finding with a code; each request is saved at
//! most once; the order of the requests that are handed in changes nothing. Memory grows with the
//! number of requests, and time with that of sorting them.

mod compare;
mod detail;
mod failures;
mod found;
mod journal;
mod lines;
mod objects;
mod reads;
mod request;
mod retries;
#[cfg(test)]
mod tests;
mod watches;
mod why;
mod writes;

pub use compare::compare;
pub use journal::{deletion_requests, requests};
pub use objects::calls_per_object;
pub use request::{Answer, Known, Request};

use record::{CallFinding, CallFindingKind};

use found::Found;
use lines::Lines;
use why::Why;
use writes::Writes;

/// Where findings begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// An object is hot if a component wrote it more often than this,
    pub hot_writes: usize,
    /// within so many seconds.
    pub hot_seconds: u32,
    /// Seconds after a failure within which the same call is a retry.
    pub retry_seconds: u32,
    /// Seconds after a read within which the same read is repeated.
    pub read_seconds: u32,
    /// Seconds within which a watch is short.
    pub watch_seconds: u32,
    /// Seconds from the end of a watch to what follows from it: the next watch of a process that
    /// goes on to watch, or a list. client-go's reflectors wait that long at most.
    pub gap_seconds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hot_writes: 10,
            hot_seconds: 10,
            retry_seconds: 1,
            read_seconds: 1,
            watch_seconds: 30,
            gap_seconds: 30,
        }
    }
}

/// A finding, and the requests that it saves.
#[derive(Debug, Clone)]
pub struct Saving<'r> {
    /// What was found; without what it costs.
    pub finding: CallFinding,
    /// Those of its calls that could go and are saved by no other finding.
    pub saved: Vec<&'r Request<'r>>,
}

/// The findings of requests in any order, worst first. `objects` is how many objects the run had, if
/// that is known.
pub fn findings(requests: &[Request<'_>], objects: Option<u64>) -> Vec<CallFinding> {
    findings_with(requests, objects, &Options::default())
}

/// The same with other bounds.
pub fn findings_with(
    requests: &[Request<'_>],
    objects: Option<u64>,
    options: &Options,
) -> Vec<CallFinding> {
    let found = savings_with(requests, objects, options);
    found.into_iter().map(|saving| saving.finding).collect()
}

/// The same as [`findings`], with the requests that each of them saves.
pub fn savings<'r>(requests: &'r [Request<'r>], objects: Option<u64>) -> Vec<Saving<'r>> {
    savings_with(requests, objects, &Options::default())
}

fn savings_with<'r>(
    requests: &'r [Request<'r>],
    objects: Option<u64>,
    options: &Options,
) -> Vec<Saving<'r>> {
    let lines = Lines::new(requests);
    let found = find(&lines, options).findings(objects, options);
    let saving = |(finding, places): (CallFinding, Vec<usize>)| Saving {
        finding,
        saved: places.iter().map(|at| lines.all[*at].request).collect(),
    };
    found.into_iter().map(saving).collect()
}

/// In the order of their kinds, since the first one saves a request.
fn find<'r>(lines: &'r Lines<'r>, options: &Options) -> Found<'r> {
    let mut found = Found::new(lines);
    let writes = Writes::new(lines);
    failures::find(lines, &writes, &mut found);
    writes.find_no_ops(lines, &mut found);
    reads::find_repeated(lines, &writes, options, &mut found);
    watches::find_gets(lines, options, &mut found);
    retries::find(lines, options, &mut found);
    writes::find_hot(lines, options, &mut found);
    watches::find_lists(lines, options, &mut found);
    watches::find_short(lines, options, &mut found);
    find_deprecated(lines, &mut found);
    found
}

fn find_deprecated<'r>(lines: &'r Lines<'r>, found: &mut Found<'r>) {
    for (at, line) in lines.iter().filter(|(_, line)| line.request.warned) {
        let call = line.request.call;
        let why = Why::Api(&call.group, &call.version);
        found.add(at, CallFindingKind::DeprecatedApi, why, false);
    }
}

fn micros(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000_000
}
