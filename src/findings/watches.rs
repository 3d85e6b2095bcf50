//! Watches: what they make needless, and what comes of their ends.

use std::collections::HashMap;

use super::{
    Answer, Options, Request,
    found::Found,
    lines::{Line, Lines},
    micros,
    why::{Cause, Why},
};
use record::CallFindingKind;

/// What a watch delivers: sender, resource, namespace and name, each of the latter empty for all, and
/// the kind in the place of the objects' own, empty for none.
type Scope<'r> = (u32, u32, &'r str, &'r str, &'r str);

/// When a process had watches of a scope, one after the other.
#[derive(Clone, Copy)]
struct Span {
    since: i64,
    until: i64,
}

/// The watches so far: those that deliver all objects of their scope, and others.
#[derive(Default)]
struct Watches<'r> {
    of_all: HashMap<Scope<'r>, Span>,
    of_some: HashMap<Scope<'r>, Span>,
}

impl<'r> Watches<'r> {
    fn see(&mut self, line: &Line<'r>) {
        let request = line.request;
        let scope = (
            line.sender,
            line.resource,
            request.namespace,
            if line.object.is_some() {
                request.name
            } else {
                ""
            },
            request.as_kind(),
        );
        let spans = if delivers_all(line) {
            &mut self.of_all
        } else {
            &mut self.of_some
        };
        let until = request.ended.unwrap_or(i64::MAX);
        let span = spans.entry(scope).or_insert(Span {
            since: request.answered,
            until,
        });
        span.until = span.until.max(until);
    }

    /// Whether and how well a get is covered.
    fn cover(&self, line: &Line<'r>, gap: i64) -> Option<Why<'r>> {
        let request = line.request;
        let namespaces = ["", request.namespace];
        let names = ["", request.name];
        // Whole objects have what any other kind has in their place, but not the other way round.
        let kinds = ["", request.as_kind()];
        let scopes = namespaces.into_iter().flat_map(|namespace| {
            let of_name = move |name| kinds.map(|kind| (namespace, name, kind));
            names.into_iter().flat_map(of_name)
        });
        let is_in = |spans: &HashMap<Scope<'r>, Span>| {
            scopes.clone().any(|(namespace, name, kind)| {
                let scope = (line.sender, line.resource, namespace, name, kind);
                spans.get(&scope).is_some_and(|span| {
                    let until = span.until.saturating_add(gap);
                    (span.since..=until).contains(&request.begun)
                })
            })
        };
        if is_in(&self.of_all) {
            Some(Why::Watched)
        } else {
            is_in(&self.of_some).then_some(Why::PerhapsWatched)
        }
    }
}

/// Whether no selector but that of a name keeps objects from a watch.
fn delivers_all(line: &Line<'_>) -> bool {
    line.request.query.is_some_and(|query| {
        let by_name = line.object.is_some() && query.field_keys == ["metadata.name"];
        query.label_keys.is_empty() && (query.field_keys.is_empty() || by_name)
    })
}

/// Counts gets of what the same process watches, also such as found nothing: that is in its cache
/// too.
pub(crate) fn find_gets<'r>(lines: &'r Lines<'r>, options: &Options, found: &mut Found<'r>) {
    let mut watches = Watches::default();
    for (at, line) in lines.iter() {
        let request = line.request;
        let is_answered = matches!(request.answer, Answer::Code(200 | 404));
        let is_whole = request.call.subresource.is_empty() && !request.call.resource.is_empty();
        match request.verb() {
            "watch" if request.answer.is_success() => watches.see(line),
            "get" if is_answered && is_whole => {
                let why = watches.cover(line, micros(options.gap_seconds));
                if let Some(why) = why {
                    let could_go = why == Why::Watched;
                    found.add(at, CallFindingKind::GetOfWatched, why, could_go);
                }
            }
            _ => {}
        }
    }
}

/// Counts lists of all there is in its newest state, and lists of what had been listed.
pub(crate) fn find_lists<'r>(lines: &'r Lines<'r>, options: &Options, found: &mut Found<'r>) {
    let endings = Endings::new(lines);
    let mut last: HashMap<_, i64> = HashMap::new();
    for (at, line) in lines.iter() {
        let request = line.request;
        if !request.answer.is_success() || !request.is_list() || request.is_before {
            continue;
        }
        if is_unbounded(line) {
            let why = if request.namespace.is_empty() {
                Why::OfAll
            } else {
                Why::OfNamespace
            };
            found.add(at, CallFindingKind::UnboundedList, why, false);
        }
        let selectors = request
            .query
            .map(|query| (&*query.label_keys, &*query.field_keys));
        let key = (place(line), line.object, selectors.unwrap_or_default());
        if let Some(before) = last.insert(key, request.answered) {
            let cause = endings.cause(line, before, micros(options.gap_seconds));
            found.add(at, CallFindingKind::Relist, Why::Again(cause), false);
        }
    }
}

fn is_unbounded(line: &Line<'_>) -> bool {
    let is_any = line.request.query.is_some_and(|query| {
        let version = query.resource_version.as_deref();
        version.is_none_or(str::is_empty) && query.limit.is_none_or(|limit| limit == 0)
    });
    line.request.verb() == "list" && line.object.is_none() && is_any
}

/// Sender, resource, namespace, and the kind in the place of the objects' own.
type Place<'r> = (u32, u32, &'r str, &'r str);

fn place<'r>(line: &Line<'r>) -> Place<'r> {
    let request = line.request;
    (
        line.sender,
        line.resource,
        request.namespace,
        request.as_kind(),
    )
}

/// When watches ended or expired, in the order of time.
struct Endings<'r>(HashMap<Place<'r>, Vec<(i64, Cause<'r>)>>);

impl<'r> Endings<'r> {
    fn new(lines: &'r Lines<'r>) -> Self {
        let mut endings: HashMap<Place<'_>, Vec<_>> = HashMap::new();
        for line in &lines.all {
            if let Some(ending) = ending(line.request) {
                endings.entry(place(line)).or_default().push(ending);
            }
        }
        for endings in endings.values_mut() {
            endings.sort_unstable();
        }
        Self(endings)
    }

    /// What ended last before a list, if that was after the list before and not long ago.
    fn cause(&self, line: &Line<'r>, before: i64, gap: i64) -> Cause<'r> {
        let request = line.request;
        let endings = self.0.get(&place(line)).map_or(&[][..], |endings| endings);
        let next = endings.partition_point(|(at, _)| *at <= request.answered);
        let last = next.checked_sub(1).map(|last| endings[last]);
        let earliest = before.max(request.begun.saturating_sub(gap));
        last.filter(|(at, _)| *at >= earliest)
            .map_or(Cause::Unknown, |(_, cause)| cause)
    }
}

/// When and how a request ended what a process had of a resource.
fn ending<'r>(request: &Request<'r>) -> Option<(i64, Cause<'r>)> {
    match (request.verb(), request.answer) {
        ("list" | "watch", Answer::Code(410)) => Some((request.answered, Cause::Expired)),
        ("watch", answer) if answer.is_success() => {
            let watch = request.watch?;
            let cause = match &*watch.ended_by {
                _ if watch.errors > 0 => Cause::ErrorEvent,
                "" => Cause::Unknown,
                who => Cause::Ended(who),
            };
            Some((request.ended?, cause))
        }
        _ => None,
    }
}

/// When each process sent its last request.
fn last_sent(lines: &Lines<'_>) -> HashMap<u32, i64> {
    let mut last = HashMap::new();
    for line in &lines.all {
        let begun = last.entry(line.sender).or_insert(i64::MIN);
        *begun = line.request.begun.max(*begun);
    }
    last
}

/// Counts watches that ended early, but for those that had asked for it, and those that ended with
/// their process, which sent nothing after that.
pub(crate) fn find_short<'r>(lines: &'r Lines<'r>, options: &Options, found: &mut Found<'r>) {
    let short = micros(options.watch_seconds);
    let last_sent = last_sent(lines);
    for (at, line) in lines.iter() {
        let request = line.request;
        if request.verb() != "watch" || !request.answer.is_success() {
            continue;
        }
        let took = request.ended.map(|end| end.saturating_sub(request.begun));
        let wanted = request.query.and_then(|query| query.timeout_seconds);
        let asked = wanted.is_some_and(|seconds| seconds <= u64::from(options.watch_seconds));
        let who = request.watch.map_or("", |watch| &watch.ended_by);
        let is_last = request
            .ended
            .is_some_and(|end| end >= last_sent[&line.sender]);
        let with_process = is_last && matches!(who, "client" | "");
        if took.is_some_and(|took| took <= short) && !asked && !with_process {
            found.add(at, CallFindingKind::ShortWatch, Why::EndedBy(who), false);
        }
    }
}
