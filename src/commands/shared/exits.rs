//! The exit codes that several commands have for the same reasons.

use driver::RunError;
use record::Crosscheck;
use terminal::{exit::Exit, tell};
use verify::crosscheck::{Verdict, verdict};

/// Says why a run or a measurement ended early. A run that a proxy lost is over, and what was counted
/// is not valid.
pub(crate) fn tell_failure(error: &RunError) -> Exit {
    tell!("kubetoll: {error}");
    match error.cause() {
        RunError::Interrupted => Exit::Interrupted,
        error if error.is_loss() => Exit::NotValid,
        _ => Exit::Failed,
    }
}

/// Of what components count beside what they call.
pub(crate) fn of_crosscheck(check: &Crosscheck) -> Exit {
    match verdict(check) {
        Verdict::Agrees => Exit::Ok,
        Verdict::Differs => Exit::NotMet,
        Verdict::NotKnown => Exit::NotValid,
    }
}
