//! Runs as a history has them: made from a record, in series, and as text.

pub(crate) mod costs;
pub(crate) mod metrics;
pub(crate) mod run;
pub(crate) mod series;
pub mod text;
