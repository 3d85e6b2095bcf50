//! A control plane to run against without a cluster.
pub mod apiserver;
