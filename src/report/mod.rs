//! Writers: what a record comes to, and what it looks like to people.

pub mod benchmarks;
mod budget;
pub mod document;
mod evaluate;
pub mod graph;
mod history;
pub mod history_text;
pub mod run_text;
pub mod text;

pub use budget::Budget;
pub use evaluate::{evaluate, perf_audit_file_name, perf_audit_results};
pub use history::history_run;
