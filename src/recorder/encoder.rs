//! Writes protobuf as Kubernetes does, for the tests.

use crate::protobuf::MAGIC;

/// A message that is being written.
#[derive(Default, Clone)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub(crate) fn message(self, field: u64, message: Self) -> Self {
        self.bytes(field, &message.0)
    }

    pub(crate) fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn number(mut self, field: u64, number: i64) -> Self {
        self.varint(field << 3);
        self.varint(number.cast_unsigned());
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

/// A document as it is written outside of a stream.
pub(crate) fn document(kind: &str, raw: Message) -> Vec<u8> {
    let type_meta = Message::default().text(1, "v1").text(2, kind);
    let unknown = Message::default()
        .message(1, type_meta)
        .message(2, raw)
        .text(3, "")
        .text(4, "");
    [&MAGIC[..], &unknown.0].concat()
}

/// An event of a watch in its frame.
pub(crate) fn event(kind: &str, object: &[u8]) -> Vec<u8> {
    let raw = Message::default().bytes(1, object);
    frame(&Message::default().text(1, kind).message(2, raw).0)
}

/// A frame of a stream.
pub(crate) fn frame(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    [&length.to_be_bytes(), content].concat()
}
