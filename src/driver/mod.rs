//! A run: opens the books of the proxies that take part, lets something happen, closes them.
//!
//! The driver sees proxies only over HTTP and talks to the API server directly, never through one.

pub mod measure;
pub mod proxies;
pub mod settle;
