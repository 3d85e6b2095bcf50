//! Writers: what a record comes to, and what it looks like to people.

mod budget;
mod evaluate;
pub mod installation;
pub mod run_text;
pub mod text;

pub use budget::Budget;
pub use evaluate::{evaluate, perf_audit_file_name, perf_audit_results};
