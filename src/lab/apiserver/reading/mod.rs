//! `get`, `list` and `watch`.

pub(crate) mod read;
pub(crate) mod watch;
