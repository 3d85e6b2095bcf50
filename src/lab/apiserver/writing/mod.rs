//! `create`, `update`, `patch`, and the subresources of pods.

pub(crate) mod create;
pub(crate) mod patch;
pub(crate) mod pods;
pub(crate) mod strategic;
pub(crate) mod update;
