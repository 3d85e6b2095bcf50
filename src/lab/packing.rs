//! Texts of objects, compressed.
//!
//! Thousands of objects that one template made differ in names, times and versions only, and a version of an object from
//! the one before in a few lines. LZ4 with a text of that kind as its dictionary makes a tenth of them, in microseconds:
//! otherwise the texts in the API server, their old versions and the caches would be most of a lab's memory.

use std::sync::Arc;

use lz4_flex::block::{
    compress_into_with_dict, decompress_into_with_dict, get_maximum_output_size,
};

/// A pattern that no longer helps is replaced, but not before it served so many texts: each text holds on to its own.
const SERVES_AT_LEAST: usize = 64;
/// LZ4 looks no further back.
const PATTERN_MAX: usize = 64 << 10;

/// Compresses texts that are alike.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    /// A text that came before; empty at first.
    pattern: Arc<[u8]>,
    /// How many texts were packed with it.
    served: usize,
    /// Where texts are packed, before it is known how much they take.
    room: Vec<u8>,
}

/// A compressed text.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    bytes: Box<[u8]>,
    /// Bytes of the text.
    len: usize,
    pattern: Arc<[u8]>,
}

impl Packer {
    pub(crate) fn pack(&mut self, text: &[u8]) -> Packed {
        let most = get_maximum_output_size(text.len());
        if self.room.len() < most {
            self.room.resize(most, 0);
        }
        let taken = compress_into_with_dict(text, &mut self.room, &self.pattern);
        let taken = taken.expect("there is room for the longest output");
        let packed = Packed {
            bytes: self.room[..taken].into(),
            len: text.len(),
            pattern: Arc::clone(&self.pattern),
        };
        self.served += 1;
        let helps = taken < text.len() / 8;
        if !helps && (self.pattern.is_empty() || self.served >= SERVES_AT_LEAST) {
            self.pattern = text[text.len().saturating_sub(PATTERN_MAX)..].into();
            self.served = 0;
        }
        packed
    }
}

impl Packed {
    /// Bytes of the text.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes that it takes here.
    pub(crate) const fn packed_len(&self) -> usize {
        self.bytes.len()
    }

    /// The text.
    pub(crate) fn unpack(&self) -> Vec<u8> {
        let mut text = vec![0; self.len];
        let length = decompress_into_with_dict(&self.bytes, &mut text, &self.pattern);
        assert_eq!(length.ok(), Some(self.len), "it was packed by a packer");
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn text(number: usize, phase: &str) -> String {
        let labels = "x".repeat(40) + &"kubevirt.io/created-by".repeat(20);
        format!("{{\"name\":\"vmi-{number}\",\"labels\":\"{labels}\",\"phase\":\"{phase}\"}}")
    }

    fn random(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|_| rand::random()).collect()
    }

    proptest! {
        #[test]
        fn what_was_packed_is_given_back(texts in vec(vec(any::<u8>(), 0..300), 0..200)) {
            let mut packer = Packer::default();
            let packed: Vec<Packed> = texts.iter().map(|text| packer.pack(text)).collect();
            for (text, packed) in texts.iter().zip(&packed) {
                prop_assert_eq!(text, &packed.unpack());
                prop_assert_eq!(text.len(), packed.len());
            }
        }
    }

    #[test]
    fn texts_that_are_alike_take_little() {
        let mut packer = Packer::default();
        let lines: String = (0..90)
            .map(|line| format!("{line:x}-{}\n", line * line))
            .collect();
        for number in 0..1000 {
            let text = format!("{} {lines}", text(number, "Running"));
            let packed = packer.pack(text.as_bytes());
            assert_eq!(packed.unpack(), text.as_bytes());
            assert!(number == 0 || packed.packed_len() < text.len() / 10);
        }
    }

    #[test]
    fn a_pattern_that_no_longer_helps_is_replaced() {
        let mut packer = Packer::default();
        let (first, second) = (random(2000), random(2000));
        packer.pack(&first);
        assert!(packer.pack(&first).packed_len() < 100);
        let taken: Vec<usize> = (0..=SERVES_AT_LEAST)
            .map(|_| packer.pack(&second).packed_len())
            .collect();
        assert!(taken[0] > 1900 && taken[SERVES_AT_LEAST] < 100);
    }

    #[test]
    fn a_text_of_a_megabyte_is_packed_and_is_a_pattern() {
        let mut packer = Packer::default();
        packer.pack(b"small");
        let large = [
            random(200_000),
            text(1, "Running").into_bytes().repeat(2000),
        ]
        .concat();
        for _ in 0..=SERVES_AT_LEAST {
            assert_eq!(packer.pack(&large).unpack(), large);
        }
    }
}
