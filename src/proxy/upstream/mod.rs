//! Connections to the API server: dialled, and used by one downstream connection alone.

pub(crate) mod client;
pub(crate) mod connections;
pub(crate) mod dial;
pub(crate) mod dial_error;
pub(crate) mod error;
mod http1_connections;
pub(crate) mod http1_sender;
mod one_task;
mod paced;
mod response_heads;
pub(crate) mod target;
