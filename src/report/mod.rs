//! Writers: what a record comes to, and what it looks like to people.

mod budget;
mod changes;
mod compare;
mod evaluate;
pub mod history_text;
mod limit;
pub mod run_text;
mod series;
pub mod text;

pub use budget::Budget;
pub use changes::{Sensitivity, changes};
pub use compare::{CompareError, Group, HowToCompare, compare};
pub use evaluate::{evaluate, perf_audit_file_name, perf_audit_results};
pub use limit::{Limit, judge};
pub use series::{SeriesKey, metric, metric_names, series};
