//! What the tests share.

pub mod kubevirt;
pub mod process;
pub mod proxy;
pub mod real;
pub mod relay;
