//! Which fields of a protobuf document are wanted: `runtime.Unknown` with its `typeMeta`, and in
//! its `raw` either an object, whose first field is its metadata, or a `Status`.

use super::reading::{Field, Kind, Place, Reading, Step};
use crate::{
    kept::{Kept, Want},
    protobuf::{Fields, Wire},
};

/// Reads the messages of a document.
pub(super) struct Messages<'a>(pub(super) &'a mut Reading);

impl Fields for Messages<'_> {
    fn field(&mut self, number: u64, wire: Wire) -> Want {
        let place = self.0.place().unwrap_or(Place::Envelope);
        let kind = self.0.kind();
        if (place, number, kind) == (Place::Envelope, 2, None) {
            // Without its kind an object can't be read.
            self.0.end();
        }
        self.0.take(match wire {
            Wire::Bytes => bytes(place, number, kind),
            Wire::Number => match (place, number) {
                (Place::Metadata, 7) => Step::Field(Field::Generation),
                (Place::Metadata, 10) => Step::Field(Field::DeletionGracePeriod),
                (Place::Owner, 6) => Step::Field(Field::IsController),
                _ => Step::Past,
            },
        })
    }

    fn kept(&mut self, text: &Kept) {
        self.0.text(text);
    }

    fn number(&mut self, number: u64) {
        self.0.number(number);
    }

    fn left(&mut self) {
        self.0.left();
    }

    fn is_done(&self) -> bool {
        self.0.is_done()
    }
}

fn bytes(place: Place, number: u64, kind: Option<Kind>) -> Step {
    match (place, number) {
        (Place::Envelope, 1) => Step::Into(Place::TypeMeta),
        (Place::TypeMeta, 2) => Step::Field(Field::Kind),
        (Place::Envelope, 2) if kind.is_some() => Step::Into(Place::Top),
        (Place::Top, number) if kind == Some(Kind::Status) => match number {
            4 => Step::Field(Field::Reason),
            5 => Step::Into(Place::Details),
            _ => Step::Past,
        },
        (Place::Top, 1) => Step::Into(Place::Metadata),
        (Place::Top, 2) if kind == Some(Kind::Namespace) => Step::Into(Place::Spec),
        (Place::Spec, 1) => Step::Field(Field::Finalizer),
        (Place::Metadata, 1) => Step::Field(Field::Name),
        (Place::Metadata, 5) => Step::Field(Field::Uid),
        (Place::Metadata, 6) => Step::Field(Field::ResourceVersion),
        (Place::Metadata, 9) => Step::Field(Field::DeletionTimestamp),
        (Place::Metadata, 13) => Step::Into(Place::Owner),
        (Place::Metadata, 14) => Step::Field(Field::Finalizer),
        (Place::Owner, 1) => Step::Field(Field::OwnerKind),
        (Place::Owner, 3) => Step::Field(Field::OwnerName),
        (Place::Owner, 4) => Step::Field(Field::OwnerUid),
        (Place::Details, 4) => Step::Into(Place::Cause),
        (Place::Cause, 1) => Step::Field(Field::CauseReason),
        (Place::Cause, 3) => Step::Field(Field::CausePath),
        _ => Step::Past,
    }
}
