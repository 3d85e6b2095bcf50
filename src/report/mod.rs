//! Writers: what a record comes to, and what it looks like to people.

mod budget;
mod changes;
mod evaluate;
pub mod run_text;
mod series;
pub mod text;

pub use budget::Budget;
pub use changes::{Sensitivity, changes};
pub use evaluate::{evaluate, perf_audit_file_name, perf_audit_results};
pub use series::{SeriesKey, metric, metric_names, series};
