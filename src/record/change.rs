//! Changes that were found in a history: `kubetoll changes --output json`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Origin;

/// What kind of change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// The metric has another level from then on.
    Step,
    /// The metric is not there any more, which is no improvement: a counter may have gone blind.
    Missing,
    /// The metric is there, after it had been missing or had never been seen.
    Back,
}

impl ChangeKind {
    /// `step`, `missing` or `back`, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Missing => "missing",
            Self::Back => "back",
        }
    }
}

/// A change of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Names the change in `kubetoll changes ack`. The same change has the same id as long as the
    /// history has the same runs around it.
    pub id: String,
    /// The series' job.
    pub job: String,
    /// The series' scenario.
    pub scenario: String,
    /// Where the series' numbers come from.
    pub origin: Origin,
    /// The metric; one of a component is `COMPONENT:METRIC`.
    pub metric: String,
    /// When the first run after the change began.
    pub at: Timestamp,
    /// What kind of change it is.
    pub kind: ChangeKind,
    /// Median since the previous change; of `back`, the level that it had before it went missing,
    /// `None` if it had never been seen.
    pub before: Option<f64>,
    /// Median until the next change; `None` of `missing`.
    pub after: Option<f64>,
    /// `after` over `before`, less 1, in percent; `None` where one is missing or `before` is 0.
    pub percent: Option<f64>,
    /// 1 less the two-sided p of the test that the change passed. The place was chosen for its
    /// difference, so chance reaches a confidence more often than it says.
    pub confidence: f64,
    /// Runs of the level before.
    pub runs_before: usize,
    /// Runs of the level after.
    pub runs_after: usize,
    /// The last runs before the change and the first ones after it, in order.
    pub around: Vec<RunValue>,
}

/// The value of a metric in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunValue {
    /// The run's id.
    pub run: String,
    /// When it began.
    pub at: Timestamp,
    /// The metric's value; `None` if the run doesn't have it.
    pub value: Option<f64>,
}
