//! The one integration binary.
//!
//! - `certificates`: clients that come with a certificate
//! - `commands`: `exec`, `measure`, `certs`, `kubeconfig` and `kubetoll-proxy` as a user has them
//! - `faults`: runs while something goes wrong
//! - `installing`: `attach`, `status` and `detach` on a KubeVirt whose operator is played
//! - `oracle`: the classifier against the real `RequestInfoFactory`
//! - `refusals`: runs on a cluster that cannot succeed
//! - `restarts`: the API server or the proxy goes away and comes back, files change
//! - `runs`: `kubetoll run` as a user starts it
//! - `storm`: the books against a real audit log, request by request
//! - `tidy`: the rules of the repository itself
//! - `transparency`: kubectl and informers directly and through the proxy
//! - `upgrades`: exec, attach, port-forward and consoles, with client-go
//! - `watches`: watches beyond the streams of a connection, cancelled, and read slowly
//! - `wire`: the proxy byte by byte
//! - `support`: what the tests share, `kit`: what loads are made of

#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![allow(unreachable_pub, reason = "helpers are public for all tests")]

mod certificates;
mod commands;
mod faults;
mod installing;
#[path = "../bench/kit/mod.rs"]
mod kit;
mod oracle;
mod refusals;
mod restarts;
mod runs;
mod storm;
mod support;
mod tidy;
mod transparency;
mod upgrades;
mod watches;
mod wire;
