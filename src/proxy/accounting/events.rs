//! Where in a watch one event has ended and the next has not begun.
//!
//! A watch may end there: its client goes on from the last event that it got. Ended anywhere else
//! it would end in the middle of a document.

use http::{HeaderMap, header};

/// How far the events of one watch have been passed on.
#[derive(Debug)]
pub(super) enum Events {
    /// Documents of JSON, a line each. Whether the last byte was a line end.
    Json { is_between: bool },
    /// Documents of protobuf, each behind its length in four bytes, big endian.
    Protobuf { length: u32, digits: u8, left: u32 },
    /// Compressed, or of a form that isn't known here. Whether there was any byte.
    Unknown { has_begun: bool },
}

impl Events {
    /// The events of a response with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let form = headers.get(header::CONTENT_TYPE);
        let form = form.map_or(&b""[..], |form| form.as_bytes());
        if headers.contains_key(header::CONTENT_ENCODING) {
            Self::Unknown { has_begun: false }
        } else if form.starts_with(b"application/json") {
            Self::Json { is_between: true }
        } else if form.starts_with(b"application/vnd.kubernetes.protobuf") {
            Self::Protobuf {
                length: 0,
                digits: 0,
                left: 0,
            }
        } else {
            Self::Unknown { has_begun: false }
        }
    }

    /// Reads along what is passed on.
    pub(super) fn read(&mut self, data: &[u8]) {
        let Some(last) = data.last() else { return };
        match self {
            Self::Json { is_between } => *is_between = *last == b'\n',
            Self::Unknown { has_begun } => *has_begun = true,
            Self::Protobuf {
                length,
                digits,
                left,
            } => read_lengths(data, length, digits, left),
        }
    }

    /// Whether what was passed on ends with the end of an event.
    pub(super) fn is_between(&self) -> bool {
        match self {
            Self::Json { is_between } => *is_between,
            Self::Protobuf { digits, left, .. } => *digits == 0 && *left == 0,
            Self::Unknown { has_begun } => !has_begun,
        }
    }
}

fn read_lengths(mut data: &[u8], length: &mut u32, digits: &mut u8, left: &mut u32) {
    while let Some((&byte, rest)) = data.split_first() {
        if *left > 0 {
            let taken = data.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left = left.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
            data = &data[taken..];
            continue;
        }
        *length = *length << 8 | u32::from(byte);
        *digits += 1;
        if *digits == 4 {
            (*left, *length, *digits) = (*length, 0, 0);
        }
        data = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(form: &'static str) -> Events {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, form.parse().unwrap());
        Events::of(&headers)
    }

    #[test]
    fn json_ends_with_its_line_and_what_is_not_known_only_before_it_begins() {
        let mut json = events("application/json;stream=watch");
        assert!(json.is_between());
        json.read(b"{\"type\":");
        assert!(!json.is_between());
        json.read(b"\"ADDED\"}\n");
        json.read(b"");
        assert!(json.is_between());
        let mut cbor = events("application/cbor-seq");
        assert!(cbor.is_between());
        cbor.read(b"\n");
        assert!(!cbor.is_between());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        let mut zipped = Events::of(&headers);
        zipped.read(b"\n");
        assert!(!zipped.is_between());
    }

    proptest! {
        #[test]
        fn protobuf_is_between_events_exactly_at_their_ends(
            lengths in proptest::collection::vec(0_usize..700, 0..6),
            pieces in proptest::collection::vec(1_usize..97, 1..9),
        ) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for length in lengths {
                bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
                bytes.resize(bytes.len() + length, 7);
                ends.push(bytes.len());
            }
            let mut events = events("application/vnd.kubernetes.protobuf;stream=watch");
            let mut at = 0;
            for piece in pieces.iter().cycle() {
                prop_assert_eq!(events.is_between(), ends.contains(&at), "{}", at);
                if at == bytes.len() {
                    break;
                }
                let end = bytes.len().min(at + piece);
                events.read(&bytes[at..end]);
                at = end;
            }
        }
    }
}
