//! The books beside what others counted: kube-apiserver's audit log, and the components themselves.

pub mod audit;
pub mod crosscheck;
