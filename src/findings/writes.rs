//! What writes did: nothing, something, or too often the same.

use std::collections::HashMap;

use super::{
    Answer, Options,
    found::Found,
    lines::{Line, Lines},
    micros,
    why::Why,
};
use record::CallFindingKind;

/// How far the clocks of two proxies may be apart, in microseconds.
const CLOCKS_APART: i64 = 100_000;

/// The successful writes of a run.
pub(crate) struct Writes {
    /// By the place of a request: whether it is a write that changed nothing.
    no_ops: Vec<bool>,
    /// Places of the writes that changed an object, in the order of time.
    by_object: HashMap<u32, Vec<usize>>,
}

/// When each version of each object was first seen, by all proxies and by each.
#[derive(Default)]
struct Versions<'r>(HashMap<(Option<u32>, u32, &'r str), i64>);

impl<'r> Versions<'r> {
    /// Takes the version that an answer has.
    fn see(&mut self, line: &Line<'r>) {
        let (request, version) = (line.request, line.request.version());
        let Some(object) = line.object.filter(|_| !version.is_empty()) else {
            return;
        };
        for instance in [None, Some(request.instance)] {
            let first = self.0.entry((instance, object, version));
            first.or_insert(request.answered);
        }
    }

    /// Whether the version that a request was answered with had been seen before it was sent, so that
    /// it was not the one that made it. Two proxies may have different clocks.
    fn had(&self, line: &Line<'r>) -> bool {
        let request = line.request;
        let first = |instance| {
            let object = line.object?;
            self.0.get(&(instance, object, request.version())).copied()
        };
        first(Some(request.instance)).is_some_and(|at| at <= request.begun)
            || first(None).is_some_and(|at| at.saturating_add(CLOCKS_APART) <= request.begun)
    }
}

impl Writes {
    pub(crate) fn new(lines: &Lines<'_>) -> Self {
        let mut writes = Self {
            no_ops: vec![false; lines.all.len()],
            by_object: HashMap::new(),
        };
        let mut versions = Versions::default();
        for (at, line) in lines.iter() {
            if !line.request.answer.is_success() || line.request.dry_run {
                continue;
            }
            if is_no_op(line, &versions) {
                writes.no_ops[at] = true;
            } else if let Some(object) = line.object.filter(|_| line.request.is_write()) {
                writes.by_object.entry(object).or_default().push(at);
            }
            versions.see(line);
        }
        writes
    }

    pub(crate) fn is_no_op(&self, at: usize) -> bool {
        self.no_ops[at]
    }

    pub(crate) fn find_no_ops<'r>(&self, lines: &'r Lines<'r>, found: &mut Found<'r>) {
        for (at, line) in lines.iter().filter(|(at, _)| self.no_ops[*at]) {
            let why = Why::unchanged(line.request.sent);
            found.add(at, CallFindingKind::NoOpWrite, why, true);
        }
    }

    /// The last write of the object that can be why the request at this place found another version
    /// than it wanted. A write whose answer came a little later may have been done before.
    pub(crate) fn before(&self, at: usize, lines: &Lines<'_>) -> Option<usize> {
        let line = &lines.all[at];
        let writes = self.by_object.get(&line.object?)?;
        let next = writes.partition_point(|write| *write < at);
        let before = next.checked_sub(1).map(|before| writes[before]);
        let meanwhile = writes.get(next).copied();
        let meanwhile =
            meanwhile.filter(|write| lines.all[*write].request.begun < line.request.answered);
        let can_be = |write: &usize| came_between(&lines.all[*write], line);
        before.filter(can_be).or_else(|| meanwhile.filter(can_be))
    }
}

/// Whether an update or patch left the object as it was. A version is never given twice.
fn is_no_op(line: &Line<'_>, versions: &Versions<'_>) -> bool {
    let request = line.request;
    let changes = matches!(request.verb(), "update" | "patch");
    // What is removed has no version any more, and the last one is in the answer.
    let has_version = !request.version().is_empty() && !request.is_removal();
    if !changes || request.answer != Answer::Code(200) || !has_version {
        return false;
    }
    match request.sent_version() {
        "" => versions.had(line),
        sent => sent == request.version(),
    }
}

/// Whether a write is known to have made a version after the one that the other request wanted.
fn came_between(write: &Line<'_>, refused: &Line<'_>) -> bool {
    if !refused.request.known.sent || !write.request.known.object {
        return false;
    }
    let (wanted, made) = (refused.request.sent_version(), write.request.version());
    match (wanted, made) {
        // It wanted the version that it was answered on.
        ("", _) => write.request.answered >= refused.request.begun,
        (_, "") => true,
        (wanted, made) => is_newer(made, wanted),
    }
}

/// Whether a version is after another one. They are numbers, but for API servers of other makes.
fn is_newer(version: &str, than: &str) -> bool {
    match (version.parse::<u64>(), than.parse::<u64>()) {
        (Ok(version), Ok(than)) => version > than,
        _ => version != than,
    }
}

/// Finds the objects that a component wrote too often.
pub(crate) fn find_hot<'r>(lines: &'r Lines<'r>, options: &Options, found: &mut Found<'r>) {
    let mut by_object: HashMap<(u32, u32), Vec<usize>> = HashMap::new();
    for (at, line) in lines.iter() {
        let request = line.request;
        let is_counted = request.answer.is_success() && request.is_write() && !request.is_before;
        if let Some(object) = line.object.filter(|_| is_counted) {
            let places = by_object.entry((line.component, object));
            places.or_default().push(at);
        }
    }
    for places in by_object.into_values() {
        for (at, most) in hot(&places, lines, options) {
            let group = found.add(at, CallFindingKind::HotObject, Why::TooOften, false);
            if let Some(group) = group {
                group.most = group.most.max(most);
            }
        }
    }
}

/// Those of the writes that are in a window with too many, and the most that are in one with each
/// as its last.
fn hot(places: &[usize], lines: &Lines<'_>, options: &Options) -> Vec<(usize, usize)> {
    let time = |index: usize| lines.all[places[index]].request.answered;
    let within = micros(options.hot_seconds);
    let (mut hot, mut first, mut taken) = (Vec::new(), 0, 0);
    for last in 0..places.len() {
        while time(last).saturating_sub(time(first)) > within {
            first += 1;
        }
        let count = last + 1 - first;
        if count > options.hot_writes {
            let untaken = taken.max(first)..=last;
            hot.extend(untaken.map(|index| (places[index], count)));
            taken = last + 1;
        }
    }
    hot
}
