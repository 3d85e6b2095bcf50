//! The numbers of both HTTP ends, with their reasons.

use std::time::Duration;

/// Go's server allows 1 MiB of headers; tokens with many groups need more than hyper's 16 KiB.
pub(crate) const HEADERS_BYTES_MAX: usize = 1 << 20;
/// Go's server has no limit on the number of header lines; hyper allocates for this many.
pub(crate) const HEADER_LINES_MAX: usize = 1_000;
/// kube-apiserver's window per stream. Larger ones let h2's guard against small frames end a
/// connection and all its watches.
pub(crate) const STREAM_WINDOW: u32 = 256 << 10;
/// As many windows as there can be streams, so that one stalled watch stalls no other.
pub(crate) const CONNECTION_WINDOW: u32 = 32 << 20;
/// Bound on what is held of one slow stream.
pub(crate) const SEND_BUFFER: usize = 64 << 10;
/// client-go's numbers for finding a dead connection.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(30);
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(15);
