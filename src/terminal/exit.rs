//! Exit codes, the same for every command.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: all is well.
    Ok,
    /// 1: it failed.
    Failed,
    /// 2: it was called wrongly.
    Usage,
    /// 3: a threshold, a budget or a comparison says no.
    NotMet,
    /// 4: the counting is not valid.
    NotValid,
    /// 130: it was stopped by Ctrl-C or SIGTERM.
    Interrupted,
    /// The exit code of a command that was run.
    Child(u8),
}

impl Exit {
    /// The code that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotMet => 3,
            Self::NotValid => 4,
            Self::Interrupted => 130,
            Self::Child(code) => code,
        }
    }

    /// This one, or `other` where this one says that all is well.
    pub fn or(self, other: Self) -> Self {
        if self == Self::Ok { other } else { self }
    }
}

/// What was typed can't be meant: an error whose exit code is [`Exit::Usage`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(
    /// What is wrong with it.
    pub String,
);

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// The end of `--help`.
pub const HELP: &str = "Exit codes: 0 all well, 1 failed, 2 usage, 3 a threshold, budget or \
comparison says no, 4 the counting is not valid, 130 after Ctrl-C.";
