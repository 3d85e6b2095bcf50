//! Everything that is wrong with what was typed.

use std::{fmt::Write as _, str::FromStr, time::Duration};

use terminal::{bytes, duration};

/// Collects everything that is wrong, so that it can be told at once.
#[derive(Default)]
pub(super) struct Errors(Vec<String>);

impl Errors {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_messages(self) -> Vec<String> {
        self.0
    }

    pub(super) fn add(&mut self, error: String) {
        self.0.push(error);
    }

    /// Notes that `what` is missing if it is.
    pub(super) fn need<T>(&mut self, what: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.0.push(format!("{what} is missing"));
        }
        value
    }

    /// Reads a value of `what`.
    pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        what: &str,
        text: &str,
    ) -> Option<T> {
        self.take(&format!("{what} {text:?}"), text.parse())
    }

    pub(super) fn duration(&mut self, what: &str, text: Option<&str>) -> Option<Duration> {
        self.take(what, duration::parse(text?))
    }

    pub(super) fn bytes(&mut self, what: &str, text: Option<&str>) -> Option<usize> {
        self.take(what, bytes::parse(text?))
    }

    /// Takes what is right, and notes what is wrong.
    pub(super) fn take<T, E: std::fmt::Display>(
        &mut self,
        what: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result
            .map_err(|error| {
                let mut message = String::new();
                let _ = write!(message, "{what}: {error}");
                self.0.push(message);
            })
            .ok()
    }
}
