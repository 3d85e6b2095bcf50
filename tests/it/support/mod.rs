//! What the tests share.

pub mod proxy;
pub mod real;
pub mod witness;
