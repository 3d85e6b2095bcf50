//! Rules of HTTP/1.1 and HTTP/2 that hold towards components and towards the API server.

pub(crate) mod framing;
pub(crate) mod header_blocks;
pub(crate) mod headers;
pub(crate) mod http2_frame;
pub(crate) mod limits;
pub(crate) mod writes;
