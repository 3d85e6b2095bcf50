//! Kubetoll says exactly what every API call of a Kubernetes component costs, per run.

pub mod admin;
pub mod audit;
pub mod classify;
pub mod cli;
pub mod driver;
pub mod identity;
pub mod lab;
pub mod ledger;
pub mod proxy;
pub mod record;
pub mod report;
pub mod stats;
pub mod workload;
