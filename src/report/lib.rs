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

mod audit_counts;
pub mod benchmarks;
mod bill_parts;
mod budgets;
mod changes;
mod comparison;
pub mod crosscheck;
pub mod document;
pub mod graph;
mod history;
pub mod installation;
mod nearest;
mod number;
pub mod prices;
mod run;
pub mod text;
pub mod why;

pub use budgets::{
    budget::Budget,
    cost_name::is_cost_name,
    file::{budget_text, check_budget, renewed, spent, unpriced},
};
pub use changes::{
    detect::{SeriesCount, changes, is_acknowledged},
    steps::Sensitivity,
    text as changes_text,
};
pub use comparison::{
    compare::{CompareError, Group, HowToCompare, compare},
    junit::junit,
    limit::{HowToJudge, Limit, comparison_exit, judge},
    text as compare_text,
};
pub use history::{
    costs::{has_cost, price_anew},
    metrics::{Metrics, metric},
    run::history_run,
    series::{SeriesKey, series},
    text as history_text,
};
pub use nearest::meant;
pub use run::{
    cost::standard_name,
    evaluate::{Asked, evaluate, perf_audit_file_name, perf_audit_results, run_exit},
    table::{RowOrder, Shown},
    text as run_text,
};
