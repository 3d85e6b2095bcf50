//! Kubetoll says exactly what every API call of a Kubernetes component costs, per run.
//!
//! The rooms in reading order; docs/ARCHITECTURE.md says who may import whom, and a test holds the
//! code to it:
//!
//! - [`classify`]: what a request means to kube-apiserver and to KubeVirt's metric
//! - [`ledger`]: the books, in which every request is once
//! - [`identity`]: certificates, kubeconfigs, and the names of clients
//! - [`proxy`]: the data plane between a component and kube-apiserver
//! - [`record`]: the formats that leave the process
//! - [`admin`]: the proxy's own port
//! - [`workload`]: the objects of KubeVirt's density tests
//! - [`rights`]: what a user must be allowed on a cluster
//! - [`driver`]: a run
//! - [`install`]: proxies into KubeVirt, and out again
//! - [`stats`]: statistics over raw samples
//! - [`report`]: what a record comes to, for people and programs
//! - [`store`]: the history of runs
//! - [`exchange`]: what others publish, and the history in their form
//! - [`audit`]: kube-apiserver's audit log, as proof
//! - [`crosscheck`]: the wire beside the counters that components have of themselves
//! - [`lab`]: a control plane to run against without a cluster
//! - [`cli`]: what was typed, and what is meant by it
//!
//! Invariants: the proxy adds no credential and changes no byte of a body; a request is in the
//! books once, whatever happens to it; a number that can't be proven is not printed.

pub mod admin;
pub mod audit;
pub mod classify;
pub mod cli;
pub mod crosscheck;
pub mod driver;
pub mod exchange;
pub mod identity;
pub mod install;
pub mod lab;
pub mod ledger;
pub mod proxy;
pub mod record;
pub mod report;
pub mod rights;
pub mod stats;
pub mod store;
pub mod workload;
