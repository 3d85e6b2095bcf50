//! The report of one run: a page, Markdown for a pull request, JUnit for a CI.
//!
//! All of it is derived from the run's record and from the runs before it.

mod bill;
mod chart;
mod compare;
mod facts;
mod junit;
mod text;

pub use compare::{Compared, ComparedMetric, Earlier, compare, earlier};
pub use facts::Document;
pub use junit::junit;
pub use text::{html, markdown};
