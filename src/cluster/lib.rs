//! How a user gets at a cluster: kubeconfigs, the credential in them, a client that presents it, the
//! rights that it has, and what an API server's errors say.
//!
//! A kubeconfig means here what it means to kubectl. A field that can't be followed is refused by
//! its name; none is dropped in silence.

pub mod access;
pub mod causes;
pub mod client;
pub mod credential;
mod header;
pub mod kubeconfig;
pub mod plugin;
pub mod reading;
pub mod rights;
pub mod user;
