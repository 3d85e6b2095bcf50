//! The changes in a history: found, and as text.

pub(crate) mod detect;
pub(crate) mod steps;
mod stretches;
pub mod text;
