//! A run's record evaluated, and the result as text.

mod bar;
pub(crate) mod bill;
mod charged;
pub(crate) mod cost;
pub(crate) mod evaluate;
mod failure;
pub(crate) mod metrics;
mod per_object;
pub(crate) mod table;
pub mod text;
mod thresholds;
