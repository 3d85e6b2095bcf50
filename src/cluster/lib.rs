//! How a user gets at a cluster: kubeconfigs, the credential in them, the rights that it has, and
//! what an API server's errors say.

pub mod causes;
pub mod credential;
pub mod kubeconfig;
pub mod rights;
