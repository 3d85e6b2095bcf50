//! Budgets of calls: given one by one, or in a file.

pub(crate) mod budget;
pub(crate) mod cost;
pub(crate) mod cost_name;
pub(crate) mod file;
pub(crate) mod finding_name;
pub(crate) mod row_name;
