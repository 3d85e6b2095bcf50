//! How a user gets at a cluster: kubeconfigs, the credential in them, and the rights that it has.

pub mod credential;
pub mod kubeconfig;
pub mod rights;
