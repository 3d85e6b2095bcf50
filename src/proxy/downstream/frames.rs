//! Counts a client's frames of HTTP/2: for heads that take more than one of them, for trailers, and
//! for what HPACK's table may retain of what was read.

use crate::wire::{
    header_blocks::{Refused, Rule, Seen},
    http2_frame::{FRAME_HEADER, FrameHead, HEADERS},
};

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

/// What the frames of a client cost that have begun.
#[derive(Default)]
pub(super) struct Frames {
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

impl Rule for Frames {
    fn begin_frame(&mut self, frame: FrameHead) {
        let length = frame.length + FRAME_HEADER;
        if !frame.is_of_head() {
            self.between = (self.between + length).min(BUFFER_MAX);
            self.grows |= length > BUFFER / 2;
            return;
        }
        if frame.kind == HEADERS {
            self.is_trailers = frame.stream <= self.highest;
            self.highest = self.highest.max(frame.stream);
        }
        self.retained += self.take_between() + length;
        self.unfinished = (self.unfinished + length * UNPACKED).min(UNPACKED_MAX);
        if frame.ends_head() {
            let ended = std::mem::take(&mut self.unfinished);
            if self.is_trailers {
                self.trailers += ended;
            }
        }
    }

    fn see(&mut self, _: Seen<'_>) -> Result<(), Refused> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        header_blocks::HeaderBlocks,
        http2_frame::{CONTINUATION, END_HEADERS, PREFACE},
    };

    const BEGIN: &[u8; PREFACE] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frames() -> HeaderBlocks<Frames> {
        HeaderBlocks::new(PREFACE, Frames::default())
    }

    fn frame(kind: u8, flags: u8, length: u16) -> Vec<u8> {
        frame_of(1, kind, flags, length)
    }

    fn frame_of(stream: u8, kind: u8, flags: u8, length: u16) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        let mut bytes = vec![0, high, low, kind, flags, 0, 0, 0, stream];
        bytes.extend(vec![0x82; usize::from(length)]);
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
            let mut frames = frames();
            frames.read(BEGIN).unwrap();
            for (bytes, expected) in &steps {
                for piece in bytes.chunks(size) {
                    frames.read(piece).unwrap();
                }
                assert_eq!(frames.rule().unfinished(), *expected, "{size}");
            }
            for _ in 0..1_000 {
                frames.read(&frame(CONTINUATION, 0, 255)).unwrap();
            }
            assert_eq!(frames.rule().unfinished(), UNPACKED_MAX);
        }
    }

    #[test]
    fn a_head_retains_itself_and_what_came_before_it_in_its_buffer() {
        for size in [1, 1_000_000] {
            let mut frames = frames();
            let mut retained = |bytes: &[u8]| {
                bytes
                    .chunks(size)
                    .for_each(|piece| frames.read(piece).unwrap());
                frames.rule_mut().take_retained()
            };
            assert_eq!(retained(BEGIN), 0);
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
            BEGIN.to_vec(),
            frame(4, 0, 12),
            frame(HEADERS, 0, 30),
            frame(CONTINUATION, END_HEADERS, 20),
            frame(0, END_HEADERS, 200),
            frame(HEADERS, END_HEADERS, 0),
        ];
        let bytes = bytes.concat();
        let (mut frames, mut at, mut ends) = (frames(), 0, Vec::new());
        while at < bytes.len() {
            let piece = frames.piece();
            frames.read(&bytes[at..at + piece]).unwrap();
            at += piece;
            if frames.is_behind_head() {
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
        let mut frames = frames();
        frames.read(BEGIN).unwrap();
        for (number, (bytes, expected)) in steps.iter().enumerate() {
            frames.read(bytes).unwrap();
            assert_eq!(frames.rule_mut().take_trailers(), *expected, "{number}");
        }
        let two = [&steps[4].0[..], &steps[9].0].concat();
        frames.read(&two).unwrap();
        assert_eq!(frames.rule_mut().take_trailers(), 48 * UNPACKED);
        assert_eq!(frames.rule_mut().take_trailers(), 0);
    }
}
