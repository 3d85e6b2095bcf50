//! The exit code that a comparison with the components' own counters comes to.

use record::Crosscheck;
use terminal::exit::Exit;
use verify::crosscheck::{Verdict, verdict};

/// Of what components count beside what they call.
pub(crate) fn of_crosscheck(check: &Crosscheck) -> Exit {
    match verdict(check) {
        Verdict::Agrees => Exit::Ok,
        Verdict::Differs => Exit::NotMet,
        Verdict::NotKnown => Exit::NotValid,
    }
}
