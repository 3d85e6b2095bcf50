//! The data plane: takes a component's connection, forwards each request to the API server byte
//! for byte, and books it.
//!
//! A request goes through these from the top down; each uses only what stands below it:
//!
//! | part | what |
//! | --- | --- |
//! | `accept`, `connection` | the listener; one downstream connection from its handshake to its end |
//! | `forward` | one request: checked, sent, answered; upgrades, and connections that pass through as bytes |
//! | `proxy` | what all connections share |
//! | `upstream` | dials the API server; the upstream connections of one downstream connection |
//! | `accounting` | a request's entry in the ledger, and its bodies, counted as they pass |
//! | `downstream` | TLS and HTTP towards the component, and what its connection may cost |
//! | `drain`, `counters`, `eviction` | the stop signal; counters of connections; who loses a slot |
//! | `wakes` | futures that are polled when something woke them, and not otherwise |
//! | `wire` | rules of HTTP/1.1 and HTTP/2 that hold on both sides |
//!
//! [`admin`] (the admin port) and [`command`] (the program `kubetoll-proxy`) use the data plane,
//! which knows neither; a test holds all to this order.
//!
//! A downstream connection has upstream connections of its own and shares them with nobody, so that
//! stream limits, GOAWAY and flow control are the component's own.
//!
//! Invariants: no credential is added; no request is answered in the API server's place once it
//! may have reached it; nothing is buffered but what may have to be sent again; no timeout cuts a
//! stream.

mod accept;
mod accounting;
pub mod admin;
pub mod command;
mod connection;
mod counters;
mod downstream;
mod drain;
mod eviction;
mod forward;
#[cfg(test)]
mod layers;
mod proxy;
mod upstream;
mod wakes;
mod wire;

pub use accept::{Listener, serve};
pub use accounting::reading::Never;
pub use counters::ConnectionCounters;
pub use proxy::{Credential, Gate, Options, Presented, Presenting, Proxy};
pub use upstream::{
    dial::{Dialer, DialerError},
    dial_error::LastDial,
};
