//! Passing over a value that nobody wants. It is most of a body, so it goes by blocks: of 64 bytes
//! at once it is found which of them are quotes, backslashes and brackets, one bit each, and
//! arithmetic on these words says which are in strings and where the value ends.
//!
//! Brackets are counted, not matched, and other bytes not looked at.

/// Bytes of a block: as many as a word has bits.
const BLOCK: usize = 64;

/// The place in a value that is passed over.
#[derive(Debug)]
pub(super) struct Skip {
    /// How many brackets are open; none for a string.
    depth: u32,
    depth_max: u32,
    is_in_string: bool,
    /// Whether the next byte is behind a backslash.
    is_escaped: bool,
}

/// What became of bytes that were passed over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// All of them belong to the value, which goes on.
    All,
    /// The value ends behind so many.
    Ended(usize),
    /// The byte behind so many is not allowed there.
    Malformed(usize),
}

impl Skip {
    /// Of a string, behind its opening quote.
    pub(super) fn string() -> Self {
        Self {
            depth: 0,
            depth_max: 0,
            is_in_string: true,
            is_escaped: false,
        }
    }

    /// Of an object or list, behind its opening bracket, in which so many may be open.
    pub(super) fn container(depth_max: usize) -> Self {
        Self {
            depth: 1,
            depth_max: u32::try_from(depth_max).unwrap_or(u32::MAX),
            is_in_string: false,
            is_escaped: false,
        }
    }

    /// Passes over what follows.
    pub(super) fn read(&mut self, data: &[u8]) -> Skipped {
        if self.depth == 0 {
            return self.read_string(data);
        }
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        for (index, block) in blocks.iter().enumerate() {
            let skipped = self.read_block(block, BLOCK);
            if skipped != Skipped::All {
                return skipped.behind(index * BLOCK);
            }
        }
        if rest.is_empty() {
            return Skipped::All;
        }
        let mut last = [b' '; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        self.read_block(&last, rest.len())
            .behind(data.len() - rest.len())
    }

    fn read_string(&mut self, data: &[u8]) -> Skipped {
        let mut at = 0;
        while at < data.len() {
            if std::mem::take(&mut self.is_escaped) {
                at += 1;
                continue;
            }
            let Some(found) = memchr::memchr2(b'"', b'\\', &data[at..]) else {
                break;
            };
            at += found + 1;
            if data[at - 1] == b'"' {
                return Skipped::Ended(at);
            }
            self.is_escaped = true;
        }
        Skipped::All
    }

    /// Passes over a block, of which the first `length` bytes are the value's and the others
    /// spaces.
    fn read_block(&mut self, block: &[u8; BLOCK], length: usize) -> Skipped {
        let found = Found::of(block);
        let (escaped, escapes) = escaped(found.backslashes, self.is_escaped);
        let strings = in_strings(found.quotes & !escaped, self.is_in_string);
        let opening = found.opening & !strings;
        let closing = found.closing & !strings;
        // A string begins with its quote and ends before the other: this is never one of them.
        let stray = found.backslashes & !strings;
        if let Some(end) = self.end_of(opening, closing, stray) {
            return end;
        }
        self.depth = self.depth + opening.count_ones() - closing.count_ones();
        self.is_in_string = strings >> (BLOCK - 1) != 0;
        self.is_escaped = escapes >> (length - 1) & 1 != 0;
        Skipped::All
    }

    /// Where the value ends, or ceases to be one, if it does within a block.
    fn end_of(&self, opening: u64, closing: u64, stray: u64) -> Option<Skipped> {
        let is_inside = closing.count_ones() < self.depth
            && self.depth + opening.count_ones() <= self.depth_max
            && stray == 0;
        if is_inside {
            return None;
        }
        let mut depth = self.depth;
        let mut marks = opening | closing | stray;
        while marks != 0 {
            let at = marks.trailing_zeros() as usize;
            if stray >> at & 1 != 0 || (opening >> at & 1 != 0 && depth == self.depth_max) {
                return Some(Skipped::Malformed(at));
            }
            if opening >> at & 1 != 0 {
                depth += 1;
            } else if depth == 1 {
                return Some(Skipped::Ended(at + 1));
            } else {
                depth -= 1;
            }
            marks &= marks - 1;
        }
        None
    }
}

impl Skipped {
    /// The same, counted from so many bytes before.
    fn behind(self, bytes: usize) -> Self {
        match self {
            Self::All => Self::All,
            Self::Ended(at) => Self::Ended(bytes + at),
            Self::Malformed(at) => Self::Malformed(bytes + at),
        }
    }
}

/// Where in a block the bytes are that matter, the first byte's being the lowest bit.
struct Found {
    quotes: u64,
    backslashes: u64,
    opening: u64,
    closing: u64,
}

impl Found {
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut found = Self {
            quotes: 0,
            backslashes: 0,
            opening: 0,
            closing: 0,
        };
        for (index, bytes) in block.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*bytes);
            // This bit is all in which `{` differs from `[`, and `}` from `]`.
            let folded = word | each(0x20);
            let shift = index * 8;
            found.quotes |= equal(word, b'"') << shift;
            found.backslashes |= equal(word, b'\\') << shift;
            found.opening |= equal(folded, b'{') << shift;
            found.closing |= equal(folded, b'}') << shift;
        }
        found
    }
}

/// A word of eight such bytes.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Which of the eight bytes of a word are this one, a bit each.
fn equal(word: u64, byte: u8) -> u64 {
    let differing = word ^ each(byte);
    // The highest bit of each byte is set where any bit of it is.
    let any = ((differing & each(0x7f)) + each(0x7f)) | differing;
    let equal = (!any & each(0x80)) >> 7;
    // Moves the lowest bit of the n-th byte to the n-th bit of the highest byte.
    equal.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Which bytes are behind a backslash that itself isn't, and which are such backslashes.
fn escaped(backslashes: u64, is_first_escaped: bool) -> (u64, u64) {
    let first = u64::from(is_first_escaped);
    if backslashes == 0 {
        return (first, 0);
    }
    // In a row of backslashes every other one escapes, the first being one. The subtraction runs
    // through each row by its borrow, and tells rows that begin at odd places from the others.
    let odd = each(0xaa);
    let beginnings = backslashes & !first;
    let ended = ((beginnings << 1) | odd).wrapping_sub(beginnings) ^ odd;
    (ended ^ (backslashes | first), ended & backslashes)
}

/// Which bytes are in strings, the opening quotes included.
fn in_strings(quotes: u64, is_first_inside: bool) -> u64 {
    let mut inside = quotes;
    for shift in [1, 2, 4, 8, 16, 32] {
        inside ^= inside << shift;
    }
    if is_first_inside { !inside } else { inside }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, byte by byte.
    fn plainly(mut skip: Skip, data: &[u8]) -> Skipped {
        for (at, byte) in data.iter().enumerate() {
            if std::mem::take(&mut skip.is_escaped) {
                continue;
            }
            match (byte, skip.is_in_string) {
                (b'\\', true) => skip.is_escaped = true,
                (b'\\', false) => return Skipped::Malformed(at),
                (b'"', _) => skip.is_in_string = !skip.is_in_string,
                (b'{' | b'[', false) if skip.depth == skip.depth_max => {
                    return Skipped::Malformed(at);
                }
                (b'{' | b'[', false) => skip.depth += 1,
                (b'}' | b']', false) => skip.depth -= 1,
                _ => {}
            }
            if skip.depth == 0 && !skip.is_in_string {
                return Skipped::Ended(at + 1);
            }
        }
        Skipped::All
    }

    /// Bytes of a value by random choices: rich in quotes, backslashes and brackets, with few
    /// backslashes outside of strings, which would end it at once.
    fn value(choices: &[u8]) -> Vec<u8> {
        let mut value = Vec::new();
        let mut is_in_string = false;
        for choice in choices {
            value.extend_from_slice(match (is_in_string, choice) {
                (true, 0..40) => b"\\\"",
                (true, 40..90) => b"\\\\",
                (true, 90..130) => b"}",
                (true, 130..160) => b"{[\\u0041",
                (_, 0..60) => b"{",
                (_, 60..90) => b"}",
                (_, 90..120) => b"[",
                (_, 120..150) => b"]",
                (false, 255) => b"\\",
                (_, 150..200) => b"\xff, and more\0",
                (_, 200..) => {
                    is_in_string = !is_in_string;
                    b"\""
                }
            });
        }
        value
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn blocks_say_what_single_bytes_say(
            choices in proptest::collection::vec(any::<u8>(), 0..300),
            raw in proptest::collection::vec(any::<u8>(), 0..9),
            cut in 0_usize..700,
            depth_max in 1_usize..60,
            is_string in any::<bool>(),
        ) {
            let data = [value(&choices), raw].concat();
            let new = || if is_string { Skip::string() } else { Skip::container(depth_max) };
            let expected = plainly(new(), &data);
            prop_assert_eq!(&new().read(&data), &expected);
            let (first, second) = data.split_at(cut.min(data.len()));
            let mut skip = new();
            let found = match skip.read(first) {
                Skipped::All => skip.read(second).behind(first.len()),
                found => found,
            };
            prop_assert_eq!(found, expected);
        }
    }
}
