//! Progress of a run on stderr: a bar on a terminal, plain lines elsewhere.

use std::{
    io::{IsTerminal, stderr},
    sync::{Mutex, PoisonError},
};

use indicatif::{ProgressBar, ProgressStyle};

use driver::Progress;
use terminal::tell;

/// Shows phases and steps on stderr.
pub(crate) struct Terminal {
    bar: Option<ProgressBar>,
    phase: Mutex<String>,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{spinner} {msg:24} {wide_bar} {pos}/{len} {elapsed}");
            let bar = ProgressBar::new(0);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
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

impl Progress for Terminal {
    fn phase(&self, what: &str) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        what.clone_into(&mut phase);
        match &self.bar {
            Some(bar) => {
                bar.set_length(0);
                bar.set_position(0);
                bar.set_message(what.to_owned());
            }
            None => tell!("{what} ..."),
        }
    }

    fn step(&self, done: usize, of: usize) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(of as u64);
                bar.set_position(done as u64);
            }
            None if of > 1 && done == of => tell!("  {done} of {of}"),
            None => {}
        }
    }
}
