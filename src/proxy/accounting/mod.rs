//! The accounting of requests: each has one entry in the ledger, and its bodies are counted as they
//! pass.

mod body_end;
pub(crate) mod call;
pub(crate) mod in_flight;
pub(crate) mod kept_bodies;
pub(crate) mod reading;
pub(crate) mod recording;
pub(crate) mod request_body;
pub(crate) mod response_body;
