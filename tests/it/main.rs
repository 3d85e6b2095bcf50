//! The one integration binary.
//!
//! - `oracle`: the classifier against the real `RequestInfoFactory`
//! - `support`: what the tests share

mod oracle;
mod support;
