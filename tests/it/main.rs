//! The one integration binary.
//!
//! - `oracle`: the classifier against the real `RequestInfoFactory`
//! - `storm`: the books against a real audit log, request by request
//! - `support`: what the tests share

mod oracle;
mod storm;
mod support;
