//! The target of an HTTP/2 request must not have a fragment: the HTTP library drops what follows
//! `#`, so that a request for one object would become one for all of them.

use crate::wire::header_blocks::{Refused, Rule, Seen, Text};

/// `:path` in the static table, where it stands with two values.
const PATH_INDEX: std::ops::RangeInclusive<usize> = 4..=5;
/// `:path` as text, and in Huffman's code with its padding.
const PATH: &[u8] = b":path";
const PATH_HUFFMAN: [u8; 4] = *b"\xb9\x58\xd3\x3f";
/// The bits of the last byte that are of the code.
const PATH_HUFFMAN_LAST: u8 = 0xf8;
/// `#` in Huffman's code: twelve bits.
const HASH_BITS: u32 = 12;
const HASH: u32 = 0xffa;

/// How many symbols Huffman's code has of each length in bits (RFC 7541, appendix B). The code is
/// canonical: all codes of one length follow each other, and on those that are shorter.
const SYMBOLS: [(u32, u64); 21] = [
    (5, 10),
    (6, 26),
    (7, 32),
    (8, 6),
    (10, 5),
    (11, 3),
    (12, 2),
    (13, 6),
    (14, 2),
    (15, 3),
    (19, 3),
    (20, 8),
    (21, 13),
    (22, 26),
    (23, 29),
    (24, 12),
    (25, 4),
    (26, 15),
    (27, 19),
    (28, 29),
    (30, 4),
];
/// Bits of a symbol at most.
const SYMBOL_MAX: u32 = 30;
/// For each length: where the codes that are longer begin, as the first bits of 32.
const LIMITS: [(u32, u64); SYMBOLS.len()] = limits();

/// Refuses a `:path` with `#`. A name by its number in the table that the client has filled is not
/// looked at: no HTTP library refers to `:path` so, and who does takes only a right that it has.
#[derive(Default)]
pub(super) struct NoFragment {
    is_target: bool,
    bits: Bits,
}

/// The bits of a symbol that has not ended.
#[derive(Default)]
struct Bits {
    value: u64,
    count: u32,
}

const fn limits() -> [(u32, u64); SYMBOLS.len()] {
    let mut limits = SYMBOLS;
    let mut limit = 0;
    let mut at = 0;
    while at < SYMBOLS.len() {
        let (bits, symbols) = SYMBOLS[at];
        limit += symbols << (u32::BITS - bits);
        limits[at].1 = limit;
        at += 1;
    }
    limits
}

impl Rule for NoFragment {
    fn see(&mut self, seen: Seen<'_>) -> Result<(), Refused> {
        match seen {
            Seen::Field(_) => {}
            Seen::NameIndex(index) => self.is_target = PATH_INDEX.contains(&index),
            Seen::Name(name) => self.is_target = is_path(&name),
            Seen::Value {
                bytes,
                is_huffman,
                is_first,
            } if self.is_target => {
                if is_first {
                    self.bits = Bits::default();
                }
                let has_fragment = if is_huffman {
                    bytes.iter().any(|byte| self.bits.ends_hash(*byte))
                } else {
                    bytes.contains(&b'#')
                };
                if has_fragment {
                    return Err(Refused::Fragment);
                }
            }
            Seen::Value { .. } => {}
        }
        Ok(())
    }
}

fn is_path(name: &Text<'_>) -> bool {
    if !name.is_huffman {
        return name.length == PATH.len() && name.beginning == PATH;
    }
    let [start @ .., last] = PATH_HUFFMAN;
    name.length == PATH_HUFFMAN.len()
        && name.beginning.starts_with(&start)
        && (name.beginning[start.len()] ^ last) & PATH_HUFFMAN_LAST == 0
}

impl Bits {
    /// Whether one of the symbols that end in this byte is `#`.
    fn ends_hash(&mut self, byte: u8) -> bool {
        self.value = self.value << u8::BITS | u64::from(byte);
        self.count += u8::BITS;
        loop {
            let first = (self.value << (u64::BITS - self.count)) >> u32::BITS;
            let limit = LIMITS.iter().find(|(_, limit)| first < *limit);
            let bits = limit.map_or(SYMBOL_MAX, |(bits, _)| *bits);
            if bits > self.count {
                return false;
            }
            self.count -= bits;
            if bits == HASH_BITS && self.value >> self.count == u64::from(HASH) {
                return true;
            }
            self.value &= (1 << self.count) - 1;
            if self.count == 0 {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header_blocks::testing::{literal, read};

    /// `/#` in Huffman's code.
    const SHORT: &[u8] = b"\x63\xfe\xbf";

    /// In Huffman's code, of symbols as their codes and lengths.
    fn huffman(symbols: &[(u32, u32)]) -> Vec<u8> {
        let bits = symbols
            .iter()
            .flat_map(|(code, length)| (0..*length).rev().map(move |bit| code >> bit & 1));
        let mut bits: Vec<u32> = bits.collect();
        bits.resize(bits.len().next_multiple_of(8), 1);
        let bytes = bits.chunks(8);
        bytes
            .map(|byte| {
                byte.iter()
                    .fold(0, |sum, bit| sum << 1 | u8::try_from(*bit).unwrap())
            })
            .collect()
    }

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&[0x80 | u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    /// The first code of each length, and the last one, with their lengths.
    fn ends() -> impl Iterator<Item = (u32, u32)> {
        let mut first = 0;
        let mut before = SYMBOLS[0].0;
        SYMBOLS.into_iter().flat_map(move |(bits, symbols)| {
            first <<= bits - before;
            before = bits;
            let begin = first;
            first += u32::try_from(symbols).unwrap();
            [(begin, bits), (first - 1, bits)]
        })
    }

    #[test]
    fn the_code_is_complete() {
        assert_eq!(SYMBOLS.iter().map(|(_, symbols)| symbols).sum::<u64>(), 257);
        assert_eq!(LIMITS.last(), Some(&(30, 1 << 32)));
        assert_eq!(LIMITS[6], (12, 0xffc << 20));
    }

    #[test]
    fn a_fragment_is_found_behind_symbols_of_each_length() {
        let hash = (HASH, HASH_BITS);
        assert_eq!(huffman(&[(0x18, 6), hash]), SHORT);
        for end in ends() {
            for behind in 0..8 {
                // `a` has five bits: the symbol begins at each bit of a byte.
                let path = [&vec![(3, 5); behind][..], &[end]].concat();
                let expected = if end == hash {
                    Err(Refused::Fragment)
                } else {
                    Ok(())
                };
                let block = [&[0x04][..], &string(&huffman(&path))].concat();
                assert_eq!(read::<NoFragment>(&block), expected, "{end:x?}");
                let path = [&path[..], &[hash, (3, 5)]].concat();
                let block = [&[0x44][..], &string(&huffman(&path))].concat();
                let read = read::<NoFragment>(&block);
                assert_eq!(read, Err(Refused::Fragment), "{end:x?}");
            }
        }
    }

    #[test]
    fn a_fragment_is_found_however_the_target_is_written() {
        let text = &[2, b'/', b'#'];
        for block in [
            [&[0x04][..], text].concat(),
            [&[0x15][..], text].concat(),
            [&[0x82, 0x45][..], text].concat(),
            literal(0x40, PATH, false, text),
            literal(0, &PATH_HUFFMAN, true, text),
            literal(0, b"\xb9\x58\xd3\x38", true, text),
            literal(0x10, PATH, false, &string(SHORT)),
            [literal(0, b"x", false, &[0]), literal(0, PATH, false, text)].concat(),
        ] {
            let read = read::<NoFragment>(&block);
            assert_eq!(read, Err(Refused::Fragment), "{block:x?}");
        }
    }

    #[test]
    fn other_fields_may_have_it() {
        let text = &[2, b'/', b'#'];
        for block in [
            [&[0x84, 0x41][..], text].concat(),
            [&[0x84, 0x7e][..], text].concat(),
            literal(0, b":path2", false, text),
            literal(0, b":method", false, &string(SHORT)),
            literal(0, b"user-agent-of-a-client", false, text),
            [&[0x04, 1, b'/', 0x0f, 0x2b][..], text].concat(),
            // `p(`, which has the bits of `#` within, and it is no symbol there.
            [&[0x04][..], &string(&huffman(&[(0x2b, 6), (0x3fa, 10)]))].concat(),
        ] {
            assert_eq!(read::<NoFragment>(&block), Ok(()), "{block:x?}");
        }
    }
}
