//! What the tests share.

pub mod browser;
pub mod proxy;
pub mod real;
