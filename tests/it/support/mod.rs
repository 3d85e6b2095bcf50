//! What the tests share.

pub mod browser;
pub mod history;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod real;
pub mod relay;
