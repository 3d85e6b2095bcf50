//! The one integration binary.
//!
//! - `commands`: `exec`, `measure`, `certs`, `kubeconfig` and `kubetoll-proxy` as a user has them
//! - `faults`: runs while something goes wrong
//! - `oracle`: the classifier against the real `RequestInfoFactory`
//! - `runs`: `kubetoll run` as a user starts it
//! - `storm`: the books against a real audit log, request by request
//! - `tidy`: the rules of the repository itself
//! - `support`: what the tests share

#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![allow(unreachable_pub, reason = "helpers are public for all tests")]

mod commands;
mod faults;
mod oracle;
mod runs;
mod storm;
mod support;
mod tidy;
