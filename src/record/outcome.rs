//! How requests ended, and whether limits are kept: two or three meanings, not strings and options.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a request ended. JSON has the members `code` and `reason`, one of which is empty.
///
/// In the order of their texts in JSON: what got no answer is before all codes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Members", into = "Members")]
pub enum Outcome {
    /// No response of the API server came, and why: a `reason` of docs/FORMATS.md. It is no closed
    /// set here, since another version of the proxy may know more reasons.
    NoAnswer(String),
    /// The status code of the API server's response.
    Code(u16),
    /// Neither: of a record that something else than Kubetoll wrote. It is kept as it is.
    Other {
        /// The member `code`, which is no status code.
        code: String,
        /// The member `reason`.
        reason: String,
    },
}

/// An outcome as JSON has it.
#[derive(Serialize, Deserialize)]
struct Members {
    code: String,
    reason: String,
}

impl Outcome {
    /// The status code, if there is one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Code(code) => Some(*code),
            Self::NoAnswer(_) | Self::Other { .. } => None,
        }
    }

    /// Why no response came, if none did.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::NoAnswer(reason) => Some(reason),
            Self::Code(_) | Self::Other { .. } => None,
        }
    }

    /// Whether the API server said that it did what was asked.
    pub fn is_success(&self) -> bool {
        self.code().is_some_and(|code| (200..300).contains(&code))
    }
}

impl fmt::Display for Outcome {
    /// The code, or why there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code}"),
            Self::NoAnswer(reason) => f.write_str(reason),
            Self::Other { code, .. } => f.write_str(code),
        }
    }
}

impl From<Members> for Outcome {
    fn from(Members { code, reason }: Members) -> Self {
        if code.is_empty() {
            return Self::NoAnswer(reason);
        }
        match code.parse::<u16>() {
            Ok(number) if reason.is_empty() && number.to_string() == code => Self::Code(number),
            _ => Self::Other { code, reason },
        }
    }
}

impl From<Outcome> for Members {
    fn from(outcome: Outcome) -> Self {
        let (code, reason) = match outcome {
            Outcome::NoAnswer(reason) => (String::new(), reason),
            Outcome::Code(code) => (code.to_string(), String::new()),
            Outcome::Other { code, reason } => (code, reason),
        };
        Self { code, reason }
    }
}

impl From<ledger::Outcome> for Outcome {
    fn from(outcome: ledger::Outcome) -> Self {
        match outcome {
            ledger::Outcome::Code(code) => Self::Code(code),
            ledger::Outcome::NoAnswer(reason) => Self::NoAnswer(reason.as_str().to_owned()),
        }
    }
}

/// Whether a limit or a threshold is kept: `true`, `false` or `null` in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<bool>", into = "Option<bool>")]
pub enum Kept {
    /// The value is within it.
    Yes,
    /// The value is beyond it.
    No,
    /// That can't be known: the run doesn't have the metric, or one that the limit depends on.
    #[default]
    Unknown,
}

impl From<Option<bool>> for Kept {
    fn from(kept: Option<bool>) -> Self {
        match kept {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unknown,
        }
    }
}

impl From<Kept> for Option<bool> {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Yes => Some(true),
            Kept::No => Some(false),
            Kept::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_written_as_it_was_read() {
        for (text, outcome) in [
            (r#"{"code":"201","reason":""}"#, Outcome::Code(201)),
            (
                r#"{"code":"","reason":"connect"}"#,
                Outcome::NoAnswer("connect".to_owned()),
            ),
            (
                r#"{"code":"0201","reason":""}"#,
                Outcome::Other {
                    code: "0201".to_owned(),
                    reason: String::new(),
                },
            ),
        ] {
            let read: Outcome = serde_json::from_str(text).unwrap();
            assert_eq!(read, outcome);
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }

    #[test]
    fn what_is_kept_is_true_or_false_or_null() {
        for (text, kept) in [
            ("true", Kept::Yes),
            ("false", Kept::No),
            ("null", Kept::Unknown),
        ] {
            assert_eq!(serde_json::from_str::<Kept>(text).unwrap(), kept);
            assert_eq!(serde_json::to_string(&kept).unwrap(), text);
        }
    }
}
