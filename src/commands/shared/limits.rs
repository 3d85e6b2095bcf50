//! What runs must keep against others.

use anyhow::{Result, bail};
use clap::Args;

use super::failed::FailedArgs;
use record::{HistoryRun, label};
use report::{Group, HowToCompare, HowToJudge, Limit, Metrics, compare_text};
use terminal::{exit::Exit, lines, tell};

/// The p below which a difference is called one.
pub(crate) const ALPHA: f64 = 0.01;

/// What a comparison must keep.
#[derive(Debug, Clone, Args)]
pub(crate) struct LimitArgs {
    /// Exit with 3 if this is so, against A or the earlier runs of the job: METRIC>N%, METRIC<-N%,
    /// METRIC>N, or learned; `kubetoll compare --help` explains them; repeatable.
    #[arg(long, value_name = "LIMIT")]
    pub(crate) fail_on: Vec<Limit>,
    /// How often a learned bound of one metric may give a false alarm. 1 / RATE - 1 runs are needed
    /// to learn it.
    #[arg(long, value_name = "RATE", default_value_t = 0.01, value_parser = rate)]
    pub(crate) false_alarms: f64,
    /// Let a job pass that is too new for a limit, and say so: one that has no earlier run yet, or
    /// too few to learn a bound from. What can be judged is judged all the same.
    #[arg(long, requires = "fail_on")]
    pub(crate) bootstrap: bool,
    #[command(flatten)]
    pub(crate) failed: FailedArgs,
}

impl LimitArgs {
    /// Compares a run with the earlier ones that created as many objects; says on standard error
    /// what differs.
    pub(crate) fn judge(&self, mut earlier: Vec<HistoryRun>, run: &HistoryRun) -> Result<Exit> {
        earlier.retain(|one| one.objects == run.objects && one.id != run.id);
        let earlier = self.failed.taken("the earlier runs", earlier);
        if earlier.is_empty() {
            return self.judge_the_first();
        }
        let (job, scenario) = (run.label(label::JOB), run.label(label::SCENARIO));
        let a = Group {
            name: format!("job={job},scenario={scenario}"),
            runs: earlier,
        };
        let b = Group {
            name: run.id.clone(),
            runs: vec![run.without_record()],
        };
        let how = HowToCompare {
            alpha: ALPHA,
            of_components: self.of_components(),
            mix_origins: false,
        };
        let mut found = report::compare(&a, &b, &self.metrics(), &how)?;
        report::judge(&mut found, &a, &b, &self.how_to_judge());
        lines::tell_report(&format!("\n{}", compare_text::text(&found, false)));
        Ok(report::comparison_exit(&found, self.bootstrap))
    }

    pub(crate) fn how_to_judge(&self) -> HowToJudge<'_> {
        HowToJudge {
            limits: &self.fail_on,
            rate: self.false_alarms,
            bootstrap: self.bootstrap,
        }
    }

    /// What becomes of a run that there is nothing to compare with.
    pub(crate) fn judge_the_first(&self) -> Result<Exit> {
        const NOTHING: &str = "it has no earlier run of that job, scenario and number of objects";
        if !self.bootstrap {
            bail!("{NOTHING}; --bootstrap lets the first one pass");
        }
        tell!("kubetoll: {NOTHING}: no limit was judged, as --bootstrap says");
        Ok(Exit::Ok)
    }

    /// The metrics that the limits are on.
    fn metrics(&self) -> Metrics {
        let names: Vec<String> = self.names().map(str::to_owned).collect();
        if names.len() < self.fail_on.len() {
            Metrics::all_and(names)
        } else {
            Metrics::only(names)
        }
    }

    /// The metrics that the limits name; learned bounds are on all.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fail_on.iter().filter_map(Limit::metric)
    }

    /// Whether a limit may be on a cost; learned bounds are.
    pub(crate) fn are_of_cost(&self) -> bool {
        let mut metrics = self.fail_on.iter().map(Limit::metric);
        metrics.any(|metric| metric.is_none_or(report::is_cost_name))
    }

    /// Whether a limit is on a component's own calls.
    pub(crate) fn of_components(&self) -> bool {
        self.fail_on.iter().any(|limit| match limit.metric() {
            Some(metric) => Metrics::only([metric.to_owned()]).of_components(),
            None => true,
        })
    }
}

/// A probability, between 0 and 1.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if rate > 0.0 && rate < 1.0 {
        Ok(rate)
    } else {
        Err("a rate is between 0 and 1, such as 0.01".to_owned())
    }
}
