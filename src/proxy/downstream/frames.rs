//! Reads along where frames of HTTP/2 begin: for heads that take more than one of them, for trailers,
//! and for what HPACK's table may retain of what was read.

use crate::wire::http2_frame::{CONTINUATION, END_HEADERS, FRAME_HEADER, HEADERS, PREFACE};

/// The bits of a stream's number; the first one is reserved.
const STREAM: u32 = u32::MAX >> 1;
/// What a byte of a head may become once it is unpacked: a reference to a line of HPACK's table.
const UNPACKED: usize = 128;
/// What a head may be once it is unpacked: the library refuses lines beyond 1 MiB, which counts
/// 32 bytes for each besides its text.
const UNPACKED_MAX: usize = 4 << 20;
/// What the library reads into one buffer, if no frame is longer than half of it.
const BUFFER: usize = 8 << 10;
/// What it may grow to: one without room for a frame is doubled, as long as it is smaller than two of
/// them, of which each has 16 KiB at most.
const BUFFER_MAX: usize = 64 << 10;

/// Where in a client's frames the next byte is.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes to be skipped: the preface, or a frame's payload.
    skip: usize,
    head: [u8; FRAME_HEADER],
    filled: usize,
    /// The highest stream that has begun.
    highest: u32,
    /// Whether the head that came last is of trailers.
    is_trailers: bool,
    unfinished: usize,
    /// Of frames that are no part of a head, since the last that was.
    between: usize,
    /// Whether any of those may have made a buffer grow.
    grows: bool,
    retained: usize,
    trailers: usize,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            skip: PREFACE,
            head: [0; FRAME_HEADER],
            filled: 0,
            highest: 0,
            is_trailers: false,
            unfinished: 0,
            between: 0,
            grows: false,
            retained: 0,
            trailers: 0,
        }
    }

    /// What the head that has begun and not ended may cost; 0 where there is none.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// What there has been since the last call that HPACK's table may retain: an entry keeps the
    /// whole buffer that it was read from, with the frames before it.
    pub(super) fn take_retained(&mut self) -> usize {
        std::mem::take(&mut self.retained)
    }

    /// What the trailers may cost that have ended since this was asked last. The library holds
    /// them as long as their stream, also where nobody waits for them any more.
    pub(super) fn take_trailers(&mut self) -> usize {
        std::mem::take(&mut self.trailers)
    }

    /// How many bytes there are at least until a frame's head or payload ends.
    pub(super) fn piece(&self) -> usize {
        if self.skip > 0 {
            self.skip
        } else {
            FRAME_HEADER - self.filled
        }
    }

    /// Whether what was read last is the end of a head or of trailers.
    pub(super) fn ends_head(&self) -> bool {
        let [_, _, _, kind, flags, ..] = self.head;
        let is_between = self.skip == 0 && self.filled == 0;
        is_between && matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS != 0
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (FRAME_HEADER - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == FRAME_HEADER {
                self.filled = 0;
                self.begin_frame();
            }
        }
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let length = self.skip + FRAME_HEADER;
        if !matches!(kind, HEADERS | CONTINUATION) {
            self.between = (self.between + length).min(BUFFER_MAX);
            self.grows |= length > BUFFER / 2;
            return;
        }
        if kind == HEADERS {
            let stream = u32::from_be_bytes(stream) & STREAM;
            self.is_trailers = stream <= self.highest;
            self.highest = self.highest.max(stream);
        }
        self.retained += self.take_between() + length;
        self.unfinished = (self.unfinished + length * UNPACKED).min(UNPACKED_MAX);
        if flags & END_HEADERS != 0 {
            let ended = std::mem::take(&mut self.unfinished);
            if self.is_trailers {
                self.trailers += ended;
            }
        }
    }

    /// What there was in the buffer before a head.
    fn take_between(&mut self) -> usize {
        let most = if std::mem::take(&mut self.grows) {
            BUFFER_MAX
        } else {
            BUFFER
        };
        std::mem::take(&mut self.between).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u16) -> Vec<u8> {
        frame_of(1, kind, flags, length)
    }

    fn frame_of(stream: u8, kind: u8, flags: u8, length: u16) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        let mut bytes = vec![0, high, low, kind, flags, 0, 0, 0, stream];
        bytes.extend(vec![0xff; usize::from(length)]);
        bytes
    }

    #[test]
    fn a_head_is_unfinished_until_the_frame_that_ends_it_however_the_bytes_come() {
        let steps = [
            (frame(4, 0, 0), 0),
            (frame(HEADERS, END_HEADERS, 30), 0),
            (frame(HEADERS, 1, 30), 39 * UNPACKED),
            (frame(CONTINUATION, 0, 0), 48 * UNPACKED),
            (frame(CONTINUATION, END_HEADERS, 5), 0),
            (frame(0, END_HEADERS, 200), 0),
            (frame(HEADERS, 0, 1), 10 * UNPACKED),
        ];
        for size in [1, 2, 7, 1_000] {
            let mut frames = Frames::new();
            frames.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            for (bytes, expected) in &steps {
                for piece in bytes.chunks(size) {
                    frames.read(piece);
                }
                assert_eq!(frames.unfinished(), *expected, "{size}");
            }
            for _ in 0..1_000 {
                frames.read(&frame(CONTINUATION, 0, 255));
            }
            assert_eq!(frames.unfinished(), UNPACKED_MAX);
        }
    }

    #[test]
    fn a_head_retains_itself_and_what_came_before_it_in_its_buffer() {
        for size in [1, 1_000_000] {
            let mut frames = Frames::new();
            let mut retained = |bytes: &[u8]| {
                bytes.chunks(size).for_each(|piece| frames.read(piece));
                frames.take_retained()
            };
            assert_eq!(retained(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0);
            assert_eq!(retained(&frame(4, 0, 6)), 0);
            assert_eq!(retained(&frame(HEADERS, 0, 30)), 15 + 39);
            assert_eq!(retained(&frame(CONTINUATION, END_HEADERS, 40)), 49);
            assert_eq!(retained(&frame(0xf0, 0, 255).repeat(1_000)), 0);
            assert_eq!(retained(&frame(HEADERS, END_HEADERS, 1)), BUFFER + 10);
            assert_eq!(retained(&frame(0xf0, 0, 5_000).repeat(100)), 0);
            assert_eq!(retained(&frame(HEADERS, END_HEADERS, 1)), BUFFER_MAX + 10);
            assert_eq!(retained(&frame(HEADERS, END_HEADERS, 1)), 10);
        }
    }

    #[test]
    fn whoever_reads_piece_by_piece_stops_where_a_head_ends() {
        let bytes = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, 12),
            frame(HEADERS, 0, 30),
            frame(CONTINUATION, END_HEADERS, 20),
            frame(0, END_HEADERS, 200),
            frame(HEADERS, END_HEADERS, 0),
        ];
        let bytes = bytes.concat();
        let (mut frames, mut at, mut ends) = (Frames::new(), 0, Vec::new());
        while at < bytes.len() {
            let piece = frames.piece();
            frames.read(&bytes[at..at + piece]);
            at += piece;
            if frames.ends_head() {
                ends.push(at);
            }
        }
        assert_eq!(ends, [24 + 21 + 39 + 29, bytes.len()]);
    }

    #[test]
    fn a_second_head_of_a_stream_is_of_trailers() {
        let steps = [
            (frame_of(3, HEADERS, END_HEADERS, 30), 0),
            (frame_of(3, 0, 0, 30), 0),
            (frame_of(5, HEADERS, 0, 30), 0),
            (frame_of(5, CONTINUATION, END_HEADERS, 30), 0),
            (frame_of(3, HEADERS, END_HEADERS, 30), 39 * UNPACKED),
            (frame_of(5, HEADERS, 0, 30), 0),
            (frame_of(5, CONTINUATION, 0, 11), 0),
            (frame_of(5, CONTINUATION, END_HEADERS, 30), 98 * UNPACKED),
            (frame_of(7, HEADERS, END_HEADERS, 30), 0),
            // A stream that was passed over can't begin any more.
            (frame_of(1, HEADERS, END_HEADERS, 0), 9 * UNPACKED),
        ];
        let mut frames = Frames::new();
        frames.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        for (number, (bytes, expected)) in steps.iter().enumerate() {
            frames.read(bytes);
            assert_eq!(frames.take_trailers(), *expected, "{number}");
        }
        let two = [&steps[4].0[..], &steps[9].0].concat();
        frames.read(&two);
        assert_eq!(frames.take_trailers(), 48 * UNPACKED);
        assert_eq!(frames.take_trailers(), 0);
    }
}
