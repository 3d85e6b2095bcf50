//! The one field that is wanted of an object that is sent: its version.

use super::Sent;
use crate::{
    json::{Shape, Visitor},
    kept::{Kept, Want},
    object::RESOURCE_VERSION_MAX,
    protobuf::{Fields, Wire},
};

/// Where in an object the reading is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectSent {
    #[default]
    Outside,
    /// In the object.
    Object,
    Metadata,
    /// Behind the version, or the metadata, or in what has none.
    Done,
}

impl ObjectSent {
    pub(super) fn reading<'a>(&'a mut self, sent: &'a mut Sent) -> Reading<'a> {
        Reading { place: self, sent }
    }

    pub(super) fn is_done(self) -> bool {
        self == Self::Done
    }
}

/// Reads an object.
pub(super) struct Reading<'a> {
    place: &'a mut ObjectSent,
    sent: &'a mut Sent,
}

impl Reading<'_> {
    fn enter(&mut self, place: ObjectSent) -> Want {
        *self.place = place;
        Want::Enter
    }

    /// Nothing more is wanted: what follows in the metadata is most of it, with the managed fields.
    fn keep(&mut self, version: &Kept) {
        self.sent.resource_version = version.whole().unwrap_or_default().into_owned();
        *self.place = ObjectSent::Done;
    }
}

impl Visitor for Reading<'_> {
    fn value(&mut self, key: Option<&[u8]>, shape: Shape) -> Want {
        match (*self.place, key, shape) {
            (ObjectSent::Outside, _, Shape::Object) => self.enter(ObjectSent::Object),
            (ObjectSent::Outside, ..) => {
                *self.place = ObjectSent::Done;
                Want::Skip
            }
            (ObjectSent::Object, Some(b"metadata"), Shape::Object) => {
                self.enter(ObjectSent::Metadata)
            }
            (ObjectSent::Metadata, Some(b"resourceVersion"), Shape::String) => {
                Want::Keep(RESOURCE_VERSION_MAX)
            }
            _ => Want::Skip,
        }
    }

    fn kept(&mut self, value: &Kept) {
        self.keep(value);
    }

    fn left(&mut self) {
        *self.place = ObjectSent::Done;
    }

    fn is_done(&self) -> bool {
        self.place.is_done()
    }
}

/// The object is in the `raw` of `runtime.Unknown`, and its first field is its metadata.
impl Fields for Reading<'_> {
    fn field(&mut self, number: u64, wire: Wire) -> Want {
        match (*self.place, number, wire) {
            (ObjectSent::Outside, 2, Wire::Bytes) => self.enter(ObjectSent::Object),
            (ObjectSent::Object, 1, Wire::Bytes) => self.enter(ObjectSent::Metadata),
            (ObjectSent::Metadata, 6, Wire::Bytes) => Want::Keep(RESOURCE_VERSION_MAX),
            _ => Want::Skip,
        }
    }

    fn kept(&mut self, text: &Kept) {
        self.keep(text);
    }

    fn number(&mut self, _: u64) {}

    fn left(&mut self) {
        *self.place = ObjectSent::Done;
    }

    fn is_done(&self) -> bool {
        self.place.is_done()
    }
}
