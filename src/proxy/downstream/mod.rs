//! A component's connection: its handshake, TLS and HTTP as it arrives, and what it may cost as
//! long as it has proved no credential.

mod client_stream;
mod frames;
pub(crate) mod guard;
pub(crate) mod handshake;
pub(crate) mod handshake_slots;
mod head_deadline;
mod head_stream;
pub(crate) mod heads;
mod http1_stream;
pub(crate) mod peer;
pub(crate) mod permit;
mod request_targets;
mod reset_budget;
mod scan;
pub(crate) mod server;
