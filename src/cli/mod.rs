//! What was typed, and its resolution into what is meant.

pub mod driver;
pub mod exit;
mod lines;
mod log;
mod progress;
pub mod proxy;
