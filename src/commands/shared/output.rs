//! The form of what a command prints.

use clap::ValueEnum;
use serde::Serialize;

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

impl Output {
    /// A value as JSON with a line end, or as the text that `text` makes of it.
    pub(crate) fn of<T: Serialize + ?Sized>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> serde_json::Result<String> {
        match self {
            Self::Text => Ok(text(value)),
            Self::Json => Ok(serde_json::to_string_pretty(value)? + "\n"),
        }
    }
}
