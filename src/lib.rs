//! Kubetoll says exactly what every API call of a Kubernetes component costs, per run.

pub mod classify;
pub mod ledger;
