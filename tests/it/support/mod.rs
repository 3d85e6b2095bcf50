//! What the tests share.

pub mod history;
pub mod postgres;
pub mod proxy;
pub mod real;
