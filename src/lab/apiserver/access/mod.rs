//! Who may do what, and the hook that is asked before objects are written.

pub(crate) mod admission;
pub(crate) mod authorization;
