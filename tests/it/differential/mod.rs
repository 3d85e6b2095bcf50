//! The same request directly and through the proxy: what arrives at the server and what comes back
//! must be the same, byte for byte, but for what docs/SECURITY.md lists.
//!
//! - `generate`: requests and answers from a seed
//! - `client`: a client of either protocol
//! - `http1`, `http2`: both ends, by hand
//! - `compare`: what may differ
//! - `recorded`: generated requests to a recording server
//! - `real`: reads and repeatable requests to a real kube-apiserver
//!
//! `KUBETOLL_DIFFERENTIAL` sets the number of generated requests.

mod client;
mod compare;
mod generate;
mod http1;
mod http2;
mod real;
mod recorded;

/// A header line: the name as it was spelled, and the value.
type Line = (String, Vec<u8>);

/// A message as one of its ends saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Message {
    /// Method and target, or the status code.
    start: String,
    lines: Vec<Line>,
    /// How the end of the body is known.
    end: End,
    body: Vec<u8>,
    trailers: Vec<Line>,
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum End {
    /// There is none, or with HTTP/2: the head ends the stream.
    #[default]
    Head,
    /// After the length that the head says.
    Length,
    /// After the last chunk, or with HTTP/2: after DATA or trailers without a length.
    Chunk,
}

/// What both sides of an exchange saw.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exchange {
    arrived: Message,
    answered: Message,
}
