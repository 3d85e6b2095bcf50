//! What was found, by what is one finding.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, HashSet},
};

use jiff::Timestamp;

use super::{
    Answer, Options, Request,
    detail::detail,
    lines::{Line, Lines},
    why::Why,
};
use record::{CallExample, CallFinding, CallFindingKind};

/// What makes calls one finding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key<'r> {
    pub(crate) kind: CallFindingKind,
    pub(crate) component: u32,
    pub(crate) name: u32,
    /// Of failed calls.
    pub(crate) answer: Option<Answer<'r>>,
    pub(crate) why: Why<'r>,
}

/// The calls of a finding.
#[derive(Debug, Default)]
pub(crate) struct Group<'r> {
    pub(crate) calls: u64,
    /// The places of those that could go and are in no other finding.
    saved: Vec<usize>,
    pub(crate) succeeded: u64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// Whether the bytes of one are not known.
    pub(crate) unmeasured: bool,
    /// Microseconds until they were answered, together.
    pub(crate) waited: i64,
    pub(crate) objects: HashSet<u32>,
    /// The most writes of an object in one window.
    pub(crate) most: usize,
    /// Flow schema and priority level that calls were throttled by: names, or else UIDs.
    pub(crate) levels: HashSet<(&'r str, &'r str)>,
    /// Of patches that were in conflict: what they would have changed, and what the patches had changed
    /// that came in between.
    pub(crate) paths: BTreeSet<String>,
    pub(crate) paths_between: BTreeSet<String>,
    /// The place of the first call.
    first: Option<usize>,
}

/// All that was found.
pub(crate) struct Found<'r> {
    lines: &'r Lines<'r>,
    groups: HashMap<Key<'r>, Group<'r>>,
    /// By the place of a request: what it is saved by.
    pub(crate) saved_by: Vec<Option<CallFindingKind>>,
}

impl<'r> Found<'r> {
    pub(crate) fn new(lines: &'r Lines<'r>) -> Self {
        Self {
            lines,
            groups: HashMap::new(),
            saved_by: vec![None; lines.all.len()],
        }
    }

    /// Counts the request at a place, unless it was before the run. It is saved if it could go, and
    /// nothing saved it already.
    pub(crate) fn add(
        &mut self,
        at: usize,
        kind: CallFindingKind,
        why: Why<'r>,
        could_go: bool,
    ) -> Option<&mut Group<'r>> {
        let line = &self.lines.all[at];
        if line.request.is_before {
            return None;
        }
        let key = Key {
            kind,
            component: line.component,
            name: line.name,
            answer: kind.has_code().then_some(line.request.answer),
            why,
        };
        let saved = could_go && self.saved_by[at].is_none();
        if saved {
            self.saved_by[at] = Some(kind);
        }
        let group = self.groups.entry(key).or_default();
        group.count(at, line, saved);
        Some(group)
    }

    /// The findings, worst first, each with the places of the requests that it saves.
    pub(crate) fn findings(
        self,
        objects: Option<u64>,
        options: &Options,
    ) -> Vec<(CallFinding, Vec<usize>)> {
        let lines = self.lines;
        let mut named: Vec<_> = self
            .groups
            .into_iter()
            .map(|(key, group)| {
                let reason = key.why.reason(lines, options);
                (id(&key, &reason, lines), reason, key, group)
            })
            .collect();
        named.sort_by(|a, b| (&a.0, &a.1, a.3.first).cmp(&(&b.0, &b.1, b.3.first)));
        // Reasons of which nothing but the punctuation differs have the same id.
        named.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            if is_same {
                kept.3.merge(std::mem::take(&mut next.3));
            }
            is_same
        });
        let findings = named.into_iter().map(|(id, reason, key, group)| {
            let detail = detail(&key, &group, lines, options);
            let per_object = objects.filter(|objects| *objects > 0);
            let finding = CallFinding {
                kind: key.kind,
                id,
                component: lines.components[key.component as usize].to_owned(),
                call: lines.names[key.name as usize].clone(),
                code: key.answer.map_or_else(String::new, |code| code.to_string()),
                calls: group.calls,
                saved: group.saved.len() as u64,
                saved_cpu_us: None,
                saved_tolls: None,
                per_object: per_object.map(|objects| group.calls as f64 / objects as f64),
                reason,
                detail,
                example: example(lines.all[group.first.unwrap_or_default()].request),
            };
            (finding, group.saved)
        });
        let mut findings: Vec<(CallFinding, Vec<usize>)> = findings.collect();
        findings.sort_by(|(a, _), (b, _)| {
            let worst = |of: &CallFinding| (Reverse(of.saved), Reverse(of.calls));
            worst(a).cmp(&worst(b)).then_with(|| a.id.cmp(&b.id))
        });
        findings
    }
}

impl Group<'_> {
    fn count(&mut self, at: usize, line: &Line<'_>, saved: bool) {
        let request = line.request;
        self.calls += 1;
        self.saved.extend(saved.then_some(at));
        self.succeeded += u64::from(request.answer.is_success());
        self.request_bytes = self.request_bytes.saturating_add(request.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(request.response_bytes);
        self.unmeasured |= !request.known.bytes;
        let waited = request.answered.saturating_sub(request.begun);
        self.waited = self.waited.saturating_add(waited);
        self.objects.extend(line.object);
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
    }

    fn merge(&mut self, other: Self) {
        self.calls += other.calls;
        self.saved.extend(other.saved);
        self.succeeded += other.succeeded;
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
        self.unmeasured |= other.unmeasured;
        self.waited = self.waited.saturating_add(other.waited);
        self.objects.extend(other.objects);
        self.most = self.most.max(other.most);
        self.levels.extend(other.levels);
        self.paths.extend(other.paths);
        self.paths_between.extend(other.paths_between);
        self.first = match (self.first, other.first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// What the finding is called in every run.
fn id(key: &Key<'_>, reason: &str, lines: &Lines<'_>) -> String {
    let component = lines.components[key.component as usize];
    let name = &lines.names[key.name as usize];
    let code = key.answer.map(|answer| format!("@{answer}"));
    let code = code.unwrap_or_default();
    format!("{}:{component}:{name}{code}:{}", key.kind, plain(reason))
}

/// A text of letters, digits and few signs, in which all else between them is a hyphen.
fn plain(reason: &str) -> String {
    let stays = |letter: char| letter.is_alphanumeric() || "/._~*[]+-".contains(letter);
    let words = reason.split(|letter| !stays(letter));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

fn example(request: &Request<'_>) -> CallExample {
    CallExample {
        at: Timestamp::from_microsecond(request.answered).unwrap_or_default(),
        namespace: request.namespace.to_owned(),
        name: request.name.to_owned(),
        audit_id: request.audit_id.to_owned(),
    }
}
