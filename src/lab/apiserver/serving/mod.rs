//! Connections, and the way of a request to the handler that answers it.

pub(crate) mod dispatch;
pub(crate) mod http;
pub(crate) mod review;
