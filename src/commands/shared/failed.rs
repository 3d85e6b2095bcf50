//! Which runs a statistic over the history takes.

use clap::Args;

use record::{HistoryRun, number_of};
use report::history_text::including_not_valid;
use terminal::tell;

/// Whether runs that are not valid count.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct FailedArgs {
    /// Take in runs that are not valid, such as those that timed out, were interrupted or lost a
    /// proxy. Without it they are left out.
    #[arg(long)]
    with_failed: bool,
}

impl FailedArgs {
    /// Whether a run counts: every statistic over the history asks here, and nowhere else.
    pub(crate) fn takes(self, run: &HistoryRun) -> bool {
        run.valid || self.with_failed
    }

    /// Those of the runs of `whose` that count. Says on standard error how many are not valid, and
    /// what became of them.
    pub(crate) fn taken(self, whose: &str, mut runs: Vec<HistoryRun>) -> Vec<HistoryRun> {
        let all = runs.len();
        runs.retain(|run| self.takes(run));
        match all - runs.len() {
            0 => {}
            1 => tell!("{whose}: 1 run that is not valid is left out; --with-failed takes it in"),
            left_out => tell!(
                "{whose}: {} that are not valid are left out; --with-failed takes them in",
                number_of(left_out as u64, "run")
            ),
        }
        if let Some(including) = including_not_valid(&runs) {
            tell!("{whose}: {including}");
        }
        runs
    }
}
