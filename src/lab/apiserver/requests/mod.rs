//! What is asked: path, query, selectors, user, body.

pub(crate) mod call;
pub(crate) mod query;
pub(crate) mod route;
pub(crate) mod selector;
pub(crate) mod user;
