//! Reads along where frames of HTTP/2 begin: for heads that take more than one of them, and for
//! what is kept of what was read.

/// What a client sends before its first frame.
const PREFACE: usize = 24;
/// Length, kind, flags, stream.
pub(super) const FRAME_HEAD: usize = 9;
pub(super) const HEADERS: u8 = 1;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_HEADERS: u8 = 4;
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
    head: [u8; FRAME_HEAD],
    filled: usize,
    unfinished: usize,
    /// Of frames that are no part of a head, since the last that was.
    between: usize,
    /// Whether any of those may have made a buffer grow.
    grows: bool,
    kept: usize,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            skip: PREFACE,
            head: [0; FRAME_HEAD],
            filled: 0,
            unfinished: 0,
            between: 0,
            grows: false,
            kept: 0,
        }
    }

    /// What the head that has begun and not ended may cost; 0 where there is none.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// What there has been since the last call that HPACK's table may hold on to: an entry keeps the
    /// whole buffer that it was read from, with the frames before it.
    pub(super) fn take_kept(&mut self) -> usize {
        std::mem::take(&mut self.kept)
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (FRAME_HEAD - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == FRAME_HEAD {
                self.filled = 0;
                self.begin_frame();
            }
        }
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let length = self.skip + FRAME_HEAD;
        if !matches!(kind, HEADERS | CONTINUATION) {
            self.between = (self.between + length).min(BUFFER_MAX);
            self.grows |= length > BUFFER / 2;
            return;
        }
        self.kept += self.take_between() + length;
        self.unfinished = if flags & END_HEADERS == 0 {
            (self.unfinished + length * UNPACKED).min(UNPACKED_MAX)
        } else {
            0
        };
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
        let [high, low] = length.to_be_bytes();
        let mut bytes = vec![0, high, low, kind, flags, 0, 0, 0, 1];
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
    fn a_head_keeps_itself_and_what_came_before_it_in_its_buffer() {
        for size in [1, 1_000_000] {
            let mut frames = Frames::new();
            let mut kept = |bytes: &[u8]| {
                bytes.chunks(size).for_each(|piece| frames.read(piece));
                frames.take_kept()
            };
            assert_eq!(kept(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0);
            assert_eq!(kept(&frame(4, 0, 6)), 0);
            assert_eq!(kept(&frame(HEADERS, 0, 30)), 15 + 39);
            assert_eq!(kept(&frame(CONTINUATION, END_HEADERS, 40)), 49);
            assert_eq!(kept(&frame(0xf0, 0, 255).repeat(1_000)), 0);
            assert_eq!(kept(&frame(HEADERS, END_HEADERS, 1)), BUFFER + 10);
            assert_eq!(kept(&frame(0xf0, 0, 5_000).repeat(100)), 0);
            assert_eq!(kept(&frame(HEADERS, END_HEADERS, 1)), BUFFER_MAX + 10);
            assert_eq!(kept(&frame(HEADERS, END_HEADERS, 1)), 10);
        }
    }
}
