//! Two groups of runs compared, metric by metric: the numbers, the limits on them, and both as text and as JUnit.

pub(crate) mod compare;
pub(crate) mod junit;
pub(crate) mod limit;
mod ranking;
pub mod text;
pub(crate) mod tolls;
