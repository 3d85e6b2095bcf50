//! What loads are made of: a recording upstream, clients, and the proxy as a process of its own.
//!
//! The integration tests use it for small loads, the programs of this folder for large ones.

#![allow(dead_code, reason = "each program uses a part of it")]

pub mod built;
pub mod client;
pub mod contender;
pub mod crowd;
pub mod load;
pub mod program;
pub mod proxy;
pub mod soak;
pub mod upstream;
pub mod watch;
