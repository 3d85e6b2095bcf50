//! Kubetoll says exactly what every API call of a Kubernetes component costs, per run.

pub mod lab;
