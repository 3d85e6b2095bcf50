//! Writers: what a record comes to, and what it looks like to people.

/// Adds words to a text; line ends in them are shown, see [`text::words`].
macro_rules! put {
    ($text:ident, $($words:tt)*) => {
        $text.push_str(&$crate::text::words(format_args!($($words)*)))
    };
}

/// Adds a line to a text, which nothing in it can end.
macro_rules! put_line {
    ($text:ident, $($words:tt)*) => {{
        put!($text, $($words)*);
        $text.push('\n');
    }};
}

pub mod benchmarks;
mod budget;
mod budget_file;
mod changes;
pub mod changes_text;
mod compare;
mod compare_junit;
pub mod compare_text;
pub mod crosscheck;
pub mod document;
mod evaluate;
pub mod graph;
mod history;
pub mod history_text;
pub mod installation;
mod limit;
mod number;
mod row_name;
pub mod run_text;
mod series;
pub mod text;

pub use budget::Budget;
pub use budget_file::{budget_text, check_budget, spent};
pub use changes::{Sensitivity, changes, is_acknowledged};
pub use compare::{CompareError, Group, HowToCompare, compare};
pub use compare_junit::junit;
pub use evaluate::{Asked, evaluate, perf_audit_file_name, perf_audit_results, run_exit};
pub use history::history_run;
pub use limit::{Limit, comparison_exit, judge};
pub use series::{SeriesKey, is_named, metric, metric_names, series};
