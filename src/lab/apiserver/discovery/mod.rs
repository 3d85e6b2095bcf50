//! What the server says about itself: groups, resources, version, OpenAPI.
//!
//! The aggregated form and OpenAPI are for kubectl, which the tests run against this server; no command of Kubetoll asks
//! for them.

pub(crate) mod documents;
pub(crate) mod openapi;
