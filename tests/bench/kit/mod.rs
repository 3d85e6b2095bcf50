//! What loads are made of: a recording upstream, clients, and the proxy as a process of its own.
//!
//! The integration tests use it for small loads, the programs of this folder for large ones.

#![allow(dead_code, reason = "each program uses a part of it")]

pub mod bodies;
pub mod built;
pub mod client;
pub mod contender;
pub mod cpu;
pub mod crowd;
pub mod load;
pub mod mix;
pub mod program;
pub mod proxy;
pub mod script;
pub mod soak;
pub mod upstream;
pub mod watch;
