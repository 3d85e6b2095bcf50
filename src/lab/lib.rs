//! A control plane to run against without a cluster: an API server in the process or a real one,
//! and KubeVirt's components, simulated.

pub mod apiserver;
mod client;
pub mod embedded;
pub mod kubevirt;
mod packing;
pub mod real;
pub mod simulation;
pub mod webhook;

pub use client::client;
