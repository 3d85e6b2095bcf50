//! From the lines of a log to its requests, each once.

use serde_json::error::Category;

use super::{
    event::{AuditEntry, Event},
    recent::{Counted, Identity},
    seen::{Seen, Stage},
    wrapped,
};
use classify::{CallName, Target, classify, kubevirt::kubevirt_call};
use record::{AuditLog, CallRecord};

/// A line that is no audit event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadLine {
    /// Number of the line, from 1.
    pub line: u64,
    /// What is wrong with it; never its text.
    pub reason: String,
}

/// What an event tells of a request.
pub(super) struct Told<'e> {
    pub(super) request: Identity,
    pub(super) stage: Stage,
    pub(super) event: &'e Event<'e>,
    /// The request, if this is the first event that counts it.
    pub(super) first: Option<(AuditEntry, &'e Target<'e>)>,
}

/// Takes what events tell.
type Each<'f> = &'f mut dyn FnMut(Told<'_>);

/// Takes the events of a log in any order and gives each request once.
#[derive(Debug, Default)]
pub struct AuditReader {
    line: u64,
    counted: Counted,
    seen: Seen,
}

impl AuditReader {
    /// Takes one line; gives each request that it counts to `each`. That is one at most, but for
    /// lines in which a logging pipeline has put several events.
    ///
    /// # Errors
    /// If the line is no event and has none in it, or one that can't be counted.
    pub fn line(&mut self, line: &[u8], mut each: impl FnMut(AuditEntry)) -> Result<(), BadLine> {
        self.told(line, &mut |told| {
            if let Some((entry, _)) = told.first {
                each(entry);
            }
        })
    }

    /// The same with all that events tell of a request, the later ones of a long-running one too.
    pub(super) fn told(&mut self, line: &[u8], each: Each<'_>) -> Result<(), BadLine> {
        self.line += 1;
        // What a client has put into a body need not be text.
        let line = String::from_utf8_lossy(line.trim_ascii());
        if line.is_empty() {
            return Ok(());
        }
        let counted = match serde_json::from_str::<Event<'_>>(&line) {
            Ok(event) => self.event(&event, each),
            Err(error) => self.wrapped(&line, &error, each),
        };
        counted.map_err(|reason| BadLine {
            line: self.line,
            reason,
        })
    }

    /// What the log has been so far.
    pub fn log(&self) -> AuditLog {
        self.seen.log()
    }

    fn wrapped(
        &mut self,
        line: &str,
        error: &serde_json::Error,
        each: Each<'_>,
    ) -> Result<(), String> {
        let mut counted = Err(format!("not an audit event: {}", fault(error)));
        let mut is_first = true;
        wrapped::events(line, &mut |place, event| {
            self.seen.wrapped(place);
            let this = self.event(event, each);
            if is_first || counted.is_ok() {
                counted = this;
            }
            is_first = false;
        });
        counted
    }

    fn event(&mut self, event: &Event<'_>, each: Each<'_>) -> Result<(), String> {
        let stage = Stage::of(&event.stage).ok_or("an unknown stage")?;
        self.seen.event(stage, event);
        if stage == Stage::RequestReceived {
            return Ok(());
        }
        let target = event.target().ok_or("a requestURI that no server takes")?;
        let method = event.method();
        let call = classify(method, &target);
        // A failed authentication ends with the start of its response.
        let ends = stage.is_last() || event.response_status.code == 401;
        let is_long_running = call.is_long_running();
        if !(ends || is_long_running) {
            return Ok(());
        }
        let request = self.counted.identity(event);
        let mut told = Told {
            request,
            stage,
            event,
            first: None,
        };
        if !self.counted.is_first(request, ends) {
            each(told);
            return Ok(());
        }
        self.seen.counted(event);
        if is_long_running && stage == Stage::ResponseComplete {
            self.seen.counted_at_its_end(event);
        }
        let name = CallName::new(&call, kubevirt_call(method, &target));
        let mut call: CallRecord = name.into();
        // The log's word: a HEAD is a get in it, and its path doesn't tell.
        event.verb.as_ref().clone_into(&mut call.verb);
        told.first = Some((event.entry(call), &target));
        each(told);
        Ok(())
    }
}

/// What is wrong with a line, without the words of the parser, which are about this program's types.
fn fault(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        Category::Eof => "the JSON is cut off",
        Category::Data => "a field is missing or of another kind",
        Category::Syntax | Category::Io => "it is no JSON",
    }
}
