//! The objects, the events that watches are sent, and what is stored at the start.

pub(crate) mod bootstrap;
pub(crate) mod store;
