//! What a log has, beside the requests that are counted in it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::event::Event;
use record::AuditLog;

/// How many places are told apart in which events were wrapped.
const PLACES_MAX: usize = 20;
/// How many levels are told apart; there are three.
const LEVELS_MAX: usize = 10;
/// All others.
const OTHER: &str = "(other)";

/// A stage of a request, at which the API server writes an event if its policy says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    RequestReceived,
    /// Only of long-running requests, and of one whose authentication failed.
    ResponseStarted,
    ResponseComplete,
    Panic,
}

impl Stage {
    const ALL: [Self; 4] = [
        Self::RequestReceived,
        Self::ResponseStarted,
        Self::ResponseComplete,
        Self::Panic,
    ];

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }

    /// Whether no other stage follows.
    pub(super) fn is_last(self) -> bool {
        matches!(self, Self::ResponseComplete | Self::Panic)
    }
}

/// What was seen of a log.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// In the order of [`Stage::ALL`].
    stages: [u64; 4],
    /// Requests.
    levels: BTreeMap<String, u64>,
    wrapped: BTreeMap<String, u64>,
    first: Option<Timestamp>,
    /// When the last long-running request began whose end was there and its beginning not.
    last_without_start: Option<Timestamp>,
}

impl Seen {
    pub(super) fn event(&mut self, stage: Stage, event: &Event<'_>) {
        self.stages[stage as usize] += 1;
        let at = event.stage_timestamp;
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
    }

    pub(super) fn counted(&mut self, event: &Event<'_>) {
        add_one(&mut self.levels, &event.level, LEVELS_MAX);
    }

    pub(super) fn counted_at_its_end(&mut self, event: &Event<'_>) {
        self.last_without_start = self
            .last_without_start
            .max(Some(event.request_received_timestamp));
    }

    pub(super) fn wrapped(&mut self, place: &str) {
        add_one(&mut self.wrapped, place, PLACES_MAX);
    }

    pub(super) fn log(&self) -> AuditLog {
        let stages = Stage::ALL.into_iter().zip(self.stages);
        let stages = stages.filter(|(_, count)| *count > 0);
        AuditLog {
            stages: stages
                .map(|(stage, count)| (stage.name().to_owned(), count))
                .collect(),
            levels: self.levels.clone(),
            wrapped: self.wrapped.clone(),
            missing: self
                .missing()
                .map(|stage| stage.name().to_owned())
                .collect(),
        }
    }

    /// Stages that the log would have if the policy wrote them.
    fn missing(&self) -> impl Iterator<Item = Stage> {
        let [received, started, complete, panic] = self.stages;
        let never_complete = received + started > 0 && complete + panic == 0;
        // One that began before the log did may have its other event in an older file.
        let began = self.last_without_start > self.first;
        let never_started = began && started == 0;
        let complete = never_complete.then_some(Stage::ResponseComplete);
        let started = never_started.then_some(Stage::ResponseStarted);
        complete.into_iter().chain(started)
    }
}

/// Counts one more of a name, or of the others where there are very many.
fn add_one(counts: &mut BTreeMap<String, u64>, name: &str, max: usize) {
    let is_full = counts.len() >= max && !counts.contains_key(name);
    let name = if is_full { OTHER } else { name };
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
    } else {
        counts.insert(name.to_owned(), 1);
    }
}
