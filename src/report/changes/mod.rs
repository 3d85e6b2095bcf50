//! The changes in a history: found, and as text.

pub(crate) mod detect;
pub mod text;
