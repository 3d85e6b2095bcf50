//! What is wanted of a value that streams past, and the one text of which a reader keeps anything:
//! a key, or such a value.

use std::borrow::Cow;

/// What is wanted of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Nothing.
    Skip,
    /// What is in it; of what is no container, nothing.
    Enter,
    /// Itself, up to so many bytes; of a container, nothing.
    Keep(usize),
}

/// The beginning of a text, as far as it is wanted.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    bytes: Vec<u8>,
    limit: usize,
    is_cut: bool,
}

impl Kept {
    /// Begins anew, with a text of which this many bytes are wanted.
    pub(crate) fn begin(&mut self, limit: usize) {
        self.bytes.clear();
        self.limit = limit;
        self.is_cut = false;
    }

    /// Adds what follows of the text.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = self.limit - self.bytes.len();
        let taken = bytes.len().min(room);
        self.is_cut |= taken < bytes.len();
        self.bytes.extend_from_slice(&bytes[..taken]);
    }

    /// The bytes within the limit.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the text was longer than the limit.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The text within the limit, with what is no UTF-8 replaced. A character that the limit cuts
    /// in two is left out.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        let cut = match self.bytes.utf8_chunks().last() {
            Some(last) if self.is_cut => last.invalid().len(),
            _ => 0,
        };
        String::from_utf8_lossy(&self.bytes[..self.bytes.len() - cut])
    }

    /// The text, if all of it was within the limit.
    pub(crate) fn whole(&self) -> Option<Cow<'_, str>> {
        (!self.is_cut).then(|| self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        let mut kept = Kept::default();
        kept.begin(4);
        kept.push("äö".as_bytes());
        assert_eq!(kept.whole().as_deref(), Some("äö"));
        kept.push(b"!");
        assert_eq!(kept.text(), "äö");
        assert_eq!(kept.whole(), None);
        kept.begin(3);
        for byte in "äö".as_bytes() {
            kept.push(&[*byte]);
        }
        assert_eq!(kept.text(), "ä");
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let mut kept = Kept::default();
        kept.begin(9);
        kept.push(b"a\xff\xc3");
        assert_eq!(kept.text(), "a\u{fffd}\u{fffd}");
    }
}
