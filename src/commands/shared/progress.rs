//! Progress of a run on stderr: a bar on a terminal, plain lines elsewhere.

use std::{
    io::{IsTerminal, stderr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use driver::Progress;
use terminal::tell;

/// What is shown of a phase of which nothing is known but that it goes on.
const WAITING: &str = "{spinner} {msg:24} {elapsed}";
/// What is shown of a phase that has steps.
const COUNTING: &str = "{spinner} {msg:24} {wide_bar} {pos}/{len} {elapsed}, {eta} left";
/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Shows phases and steps on stderr.
pub(crate) struct Terminal {
    bar: Option<ProgressBar>,
    phase: Mutex<String>,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            bar.set_style(style(WAITING));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self {
            bar,
            phase: Mutex::default(),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Terminal {
    fn phase(&self, what: &str) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        what.clone_into(&mut phase);
        match &self.bar {
            Some(bar) => {
                bar.set_style(style(WAITING));
                bar.reset();
                bar.unset_length();
                bar.set_message(what.to_owned());
            }
            None => tell!("{what} ..."),
        }
    }

    fn step(&self, done: usize, of: usize) {
        match &self.bar {
            Some(bar) => {
                if bar.length().is_none() {
                    bar.set_style(style(COUNTING));
                }
                bar.set_length(of as u64);
                bar.set_position(done as u64);
            }
            None if of > 1 && done == of => tell!("  {done} of {of}"),
            None => {}
        }
    }

    fn warn(&self, what: &str) {
        let say = || tell!("kubetoll: warning: {what}");
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }
}
