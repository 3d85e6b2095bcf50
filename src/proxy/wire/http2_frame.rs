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
/// The bits of a stream's number; the first one is reserved.
const STREAM: u32 = u32::MAX >> 1;

/// What a frame says of itself before its payload.
#[derive(Clone, Copy, Default)]
pub(crate) struct FrameHead {
    /// Bytes of the payload.
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl FrameHead {
    pub(crate) fn new(bytes: [u8; FRAME_HEADER]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = bytes;
        Self {
            length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & STREAM,
        }
    }

    /// Whether it begins a head or trailers, or goes on with them.
    pub(crate) fn is_of_head(self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION)
    }

    /// Whether a head or trailers end with it.
    pub(crate) fn ends_head(self) -> bool {
        self.is_of_head() && self.flags & END_HEADERS != 0
    }
}
