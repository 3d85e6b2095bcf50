//! Each failed request, by what it failed for.

use std::collections::HashMap;

use super::{
    Answer,
    found::{Found, Group},
    lines::{Line, Lines},
    why::{Why, general_path},
    writes::Writes,
};
use record::{CallFindingKind as Kind, StatusRecord};

/// Counts each failed request in one finding.
pub(crate) fn find<'r>(lines: &'r Lines<'r>, writes: &Writes, found: &mut Found<'r>) {
    let mut objects = Objects::default();
    for (at, line) in lines.iter() {
        if line.request.answer.is_success() {
            objects.see(at, line, lines);
        } else if line.request.answer.is_failure() {
            let (kind, why) = class(at, lines, writes, &objects);
            // Whether an object is there can't be known without asking.
            let asked = line.request.verb() == "get" && line.request.answer == Answer::Code(404);
            if let Some(group) = found.add(at, kind, why, !asked) {
                match kind {
                    Kind::Throttled => group.levels.extend(line.request.failure.and_then(level)),
                    Kind::Conflict => note_paths(at, lines, writes, group),
                    _ => {}
                }
            }
        }
    }
}

/// Flow schema and priority level of a 429, each by its name, or else by its UID.
fn level(failure: &StatusRecord) -> Option<(&str, &str)> {
    let StatusRecord {
        flow_schema,
        flow_schema_name,
        priority_level,
        priority_level_name,
        ..
    } = failure;
    let name_or = |name, uid| if str::is_empty(name) { uid } else { name };
    (!flow_schema.is_empty()).then(|| {
        (
            name_or(flow_schema_name, flow_schema),
            name_or(priority_level_name, priority_level),
        )
    })
}

/// Notes what both writers of a conflict were doing, as far as they sent patches.
fn note_paths(at: usize, lines: &Lines<'_>, writes: &Writes, group: &mut Group<'_>) {
    group.paths.extend(paths(&lines.all[at]));
    if let Some(between) = writes.before(at, lines) {
        group.paths_between.extend(paths(&lines.all[between]));
    }
}

fn paths<'r>(line: &Line<'r>) -> impl Iterator<Item = String> + use<'r> {
    let paths = line.request.sent.map_or(&[][..], |sent| &sent.paths);
    paths.iter().map(|path| general_path(path))
}

/// The kind of a failed request, and why it failed.
fn class<'r>(
    at: usize,
    lines: &'r Lines<'r>,
    writes: &Writes,
    objects: &Objects,
) -> (Kind, Why<'r>) {
    let line = &lines.all[at];
    let request = line.request;
    let code = match request.answer {
        Answer::Code(code) => code,
        Answer::None(reason) => return (Kind::Failure, Why::NoAnswer(reason)),
    };
    let status = || Why::status(request.failure);
    let reason = request.failure.map_or("", |failure| &failure.reason);
    let of_object = matches!(request.verb(), "get" | "update" | "patch" | "delete");
    match (code, request.verb()) {
        (404, _) if of_object => match objects.gone(line, lines) {
            Some(why) => (Kind::GoneObject, why),
            None => (Kind::Failure, status()),
        },
        (409, "update" | "patch" | "delete") if matches!(reason, "" | "Conflict") => {
            match objects.gone_for_conflict(line, lines, writes.before(at, lines)) {
                Some(why) => (Kind::GoneObject, why),
                None if is_of_any_version(line) => (Kind::Failure, status()),
                None => (Kind::Conflict, conflict(at, lines, writes)),
            }
        }
        (409, "create") if reason == "AlreadyExists" => (Kind::AlreadyExists, status()),
        (410, "list" | "watch") => (Kind::Expired, status()),
        (410, _) if of_object => (Kind::GoneObject, status()),
        (422, "patch") => (Kind::Failure, unprocessable(line)),
        (429, _) => (Kind::Throttled, status()),
        _ => (Kind::Failure, status()),
    }
}

/// Whether it is a delete that didn't ask for a version of the object.
fn is_of_any_version(line: &Line<'_>) -> bool {
    line.request.verb() == "delete" && line.request.sent_version().is_empty()
}

/// A JSON patch that can't be applied has no causes in its `Status`; its tests are the likely ones.
fn unprocessable<'r>(line: &Line<'r>) -> Why<'r> {
    let request = line.request;
    let has_causes = request
        .failure
        .is_some_and(|failure| !failure.causes.is_empty());
    match request.sent {
        Some(sent) if !has_causes && !sent.tests.is_empty() => Why::tests(sent),
        _ => Why::status(request.failure),
    }
}

/// Who wrote the object in between; or the fields that another manager owns, which may have been
/// written long ago.
fn conflict<'r>(at: usize, lines: &'r Lines<'r>, writes: &Writes) -> Why<'r> {
    let failure = lines.all[at].request.failure;
    if failure.is_some_and(|failure| !failure.causes.is_empty()) {
        return Why::status(failure);
    }
    let writer = writes.before(at, lines).map(|write| &lines.all[write]);
    Why::Written(writer.map(|write| (write.component, write.name)))
}

/// What is known of the objects at a moment of the run.
#[derive(Default)]
struct Objects(HashMap<u32, Known>);

#[derive(Default)]
struct Known {
    was_there: bool,
    /// The place of the request that deleted it.
    deleted: Option<usize>,
}

impl Objects {
    /// Takes a successful request.
    fn see(&mut self, at: usize, line: &Line<'_>, lines: &Lines<'_>) {
        let request = line.request;
        let Some(object) = line.object.filter(|_| !request.dry_run) else {
            return;
        };
        let subresource = &*request.call.subresource;
        match (request.verb(), subresource) {
            ("delete", "") | ("create", "eviction") => {
                self.0.entry(object).or_default().deleted = Some(at);
            }
            ("update" | "patch", "" | "status") if request.is_removal() => {
                self.0.entry(object).or_default().deleted = Some(at);
            }
            ("create", "") => {
                let known = self.0.entry(object).or_default();
                (known.was_there, known.deleted) = (true, None);
            }
            ("get" | "update" | "patch", "" | "status") => {
                let known = self.0.entry(object).or_default();
                known.was_there = true;
                // One that had gone at once is there again.
                known.deleted = known.deleted.filter(|deleted| {
                    let deleted = lines.all[*deleted].request;
                    !deleted.version().is_empty() || request.begun < deleted.answered
                });
            }
            _ => {}
        }
    }

    /// Why the object of a request that was answered 404 is gone, if it ever was there.
    fn gone<'r>(&self, line: &Line<'_>, lines: &Lines<'_>) -> Option<Why<'r>> {
        let known = self.0.get(&line.object?)?;
        // That a subresource was not found says nothing of the object.
        let is_whole = matches!(&*line.request.call.subresource, "" | "status");
        match known.deleted {
            Some(deleted) => Some(deleted_by(&lines.all[deleted])),
            None => (is_whole && known.was_there).then_some(Why::WasThere),
        }
    }

    /// The same of one that was answered 409: by the UID that it wanted, which no object has any
    /// more. A delete that leaves an object in place gives it a new version; it is none of these, nor
    /// is one whose client saw a version after that, which was `written` after that, or of which it
    /// isn't known whether it is there.
    fn gone_for_conflict<'r>(
        &self,
        line: &Line<'_>,
        lines: &Lines<'_>,
        written: Option<usize>,
    ) -> Option<Why<'r>> {
        let at = self.0.get(&line.object?)?.deleted?;
        let (deleted, is_written) = (&lines.all[at], written.is_some_and(|write| write > at));
        let (left, wanted) = (deleted.request.version(), line.request.sent_version());
        let is_gone = match (left, wanted) {
            // What was evicted goes when its time is over.
            ("", _) => deleted.request.known.object && deleted.request.verb() == "delete",
            (_, "") => false,
            (left, wanted) => deleted.request.is_removal() || left == wanted && !is_written,
        };
        is_gone.then(|| deleted_by(deleted))
    }
}

fn deleted_by<'r>(line: &Line<'_>) -> Why<'r> {
    Why::Deleted((line.component, line.name))
}
