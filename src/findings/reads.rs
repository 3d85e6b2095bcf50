//! What was read again though nothing had changed.

use std::collections::HashMap;

use super::{
    Answer, Options,
    found::Found,
    lines::{Line, Lines},
    micros,
    why::Why,
    writes::Writes,
};
use record::CallFindingKind;

/// What is the same where the same is read.
#[derive(PartialEq, Eq, Hash)]
struct Read<'r> {
    sender: u32,
    call: u32,
    object: Option<u32>,
    namespace: &'r str,
    resource_version: Option<&'r str>,
    limit: Option<u64>,
    as_kind: &'r str,
}

/// Counts each read whose last one, by the same process, was shortly before, if nothing changed.
pub(crate) fn find_repeated<'r>(
    lines: &'r Lines<'r>,
    writes: &Writes,
    options: &Options,
    found: &mut Found<'r>,
) {
    let mut last: HashMap<Read<'_>, usize> = HashMap::new();
    let mut last_write: HashMap<u32, usize> = HashMap::new();
    for (at, line) in lines.iter() {
        let request = line.request;
        if request.is_write() && request.answer.is_success() && !writes.is_no_op(at) {
            last_write.insert(line.resource, at);
        }
        let Some(before) = read(line).and_then(|read| last.insert(read, at)) else {
            continue;
        };
        let written = last_write.get(&line.resource);
        let is_written = written.is_some_and(|write| *write > before);
        let before = &lines.all[before];
        let pause = request.begun.saturating_sub(before.request.answered);
        if pause <= micros(options.read_seconds)
            && let Some(why) = unchanged(before, line, is_written)
        {
            found.add(at, CallFindingKind::RepeatedRead, why, true);
        }
    }
}

/// What a request read. Of selectors only the keys are known, so that two lists with one, and two
/// pages, may be different ones.
fn read<'r>(line: &Line<'r>) -> Option<Read<'r>> {
    let request = line.request;
    let is_told = match request.verb() {
        "get" => line.object.is_some(),
        "list" => request.query.is_some_and(|query| {
            let by_name = line.object.is_some() && query.field_keys == ["metadata.name"];
            let has_fields = !query.field_keys.is_empty() && !by_name;
            !query.is_continued && query.label_keys.is_empty() && !has_fields
        }),
        _ => false,
    };
    (is_told && request.answer == Answer::Code(200)).then(|| Read {
        sender: line.sender,
        call: line.call,
        object: line.object,
        namespace: request.namespace,
        resource_version: request
            .query
            .and_then(|query| query.resource_version.as_deref()),
        limit: request.query.and_then(|query| query.limit),
        as_kind: request.as_kind(),
    })
}

/// Why two reads gave the same, if they did.
fn unchanged<'r>(before: &Line<'_>, line: &Line<'_>, is_written: bool) -> Option<Why<'r>> {
    let (then, now) = (before.request.version(), line.request.version());
    if !then.is_empty() && !now.is_empty() {
        return (then == now).then_some(Why::SameVersion);
    }
    // Logs and the like change without a write.
    let is_whole = line.request.call.subresource.is_empty();
    (is_whole && !is_written).then_some(Why::NoWriteSeen)
}
