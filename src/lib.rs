//! The command line of `kubetoll`: what was typed, and what is meant by it.
//!
//! Everything else is in crates of its own, in the folders beside this file. In reading order:
//!
//! - `classify`: what a request means to kube-apiserver and to KubeVirt's metric
//! - `ledger`: the books, in which every request is once
//! - `record`: the formats that leave the process
//! - `identity`: certificates, and the names of clients
//! - `terminal`: what both programs say, and how they end
//! - `proxy`: the data path between a component and kube-apiserver, its admin port, and the program
//!   `kubetoll-proxy`
//! - `cluster`: kubeconfigs, credentials and rights of a user
//! - `driver`: a run, and the objects of KubeVirt's density tests
//! - `install`: proxies into KubeVirt, and out again
//! - `stats`: statistics over raw samples
//! - `report`: what a record comes to, for people and programs
//! - `store`: the history of runs
//! - `exchange`: what others publish, and the history in their form
//! - `verify`: the books beside kube-apiserver's audit log and the counters of components
//! - `lab`: a control plane to run against without a cluster
//!
//! Invariants: the proxy adds no credential and changes no byte of a body; a request is in the
//! books once, whatever happens to it; a number that can't be proven is not printed.

pub mod commands;
