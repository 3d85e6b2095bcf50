//! What the tests share.

pub mod postgres;
pub mod proxy;
pub mod real;
