//! `delete` and `deletecollection`, and the garbage collector.

pub(crate) mod gc;
pub(crate) mod remove;
