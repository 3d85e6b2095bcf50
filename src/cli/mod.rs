//! What was typed, and its resolution into what is meant.

pub mod driver;
pub mod exit;
mod lines;
mod progress;
pub mod proxy;
