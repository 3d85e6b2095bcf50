//! A run's record evaluated, and the result as text.

pub(crate) mod evaluate;
pub mod text;
