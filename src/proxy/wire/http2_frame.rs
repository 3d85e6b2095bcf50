//! Frames of HTTP/2 as they are on the wire (RFC 9113, section 4.1).

/// Bytes that a client sends before its first frame.
pub(crate) const PREFACE: usize = 24;
/// Bytes of a frame before its payload: length (3), type, flags, stream (4).
pub(crate) const FRAME_HEADER: usize = 9;
/// The type of a frame that begins a head or trailers.
pub(crate) const HEADERS: u8 = 1;
/// The type of a frame that goes on with them.
pub(crate) const CONTINUATION: u8 = 9;
/// The flag of the frame that ends them.
pub(crate) const END_HEADERS: u8 = 4;
