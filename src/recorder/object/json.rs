//! Which members of a JSON document are wanted.

use super::reading::{Field, Kind, Place, Reading, Step};
use crate::{
    json::{Shape, Visitor},
    kept::{Kept, Want},
};

/// Reads the members of a document.
pub(super) struct Members<'a>(pub(super) &'a mut Reading);

impl Visitor for Members<'_> {
    fn value(&mut self, key: Option<&[u8]>, shape: Shape) -> Want {
        let place = self.0.place();
        if place.is_none() && shape != Shape::Object {
            self.0.end();
        }
        let kind = self.0.kind();
        self.0
            .take(step(place, key.unwrap_or_default(), shape, kind))
    }

    fn kept(&mut self, value: &Kept) {
        self.0.text(value);
    }

    fn left(&mut self) {
        self.0.left();
    }

    fn is_done(&self) -> bool {
        self.0.is_done()
    }
}

fn step(place: Option<Place>, key: &[u8], shape: Shape, kind: Option<Kind>) -> Step {
    let Some(place) = place else {
        return match shape {
            Shape::Object => Step::Into(Place::Top),
            _ => Step::Past,
        };
    };
    match shape {
        Shape::Object => object(place, key, kind),
        Shape::List => list(place, key),
        Shape::String => text(place, key).map_or(Step::Past, Step::Field),
        Shape::Number => number(place, key).map_or(Step::Past, Step::Field),
        Shape::Bool if (place, key) == (Place::Owner, b"controller") => {
            Step::Field(Field::IsController)
        }
        Shape::Bool | Shape::Null => Step::Past,
    }
}

fn number(place: Place, key: &[u8]) -> Option<Field> {
    match (place, key) {
        (Place::Metadata, b"generation") => Some(Field::Generation),
        (Place::Metadata, b"deletionGracePeriodSeconds") => Some(Field::DeletionGracePeriod),
        _ => None,
    }
}

/// Whether it is one, or may turn out to be one.
fn is_of_namespace(kind: Option<Kind>) -> bool {
    kind.is_none_or(|kind| kind == Kind::Namespace)
}

fn object(place: Place, key: &[u8], kind: Option<Kind>) -> Step {
    match (place, key) {
        (Place::Top, b"metadata") => Step::Into(Place::Metadata),
        (Place::Top, b"spec") if is_of_namespace(kind) => Step::Into(Place::Spec),
        (Place::Top, b"details") => Step::Into(Place::Details),
        (Place::Owners, _) => Step::Into(Place::Owner),
        (Place::Causes, _) => Step::Into(Place::Cause),
        _ => Step::Past,
    }
}

fn list(place: Place, key: &[u8]) -> Step {
    match (place, key) {
        (Place::Metadata, b"ownerReferences") => Step::Into(Place::Owners),
        (Place::Metadata | Place::Spec, b"finalizers") => Step::Into(Place::Finalizers),
        (Place::Details, b"causes") => Step::Into(Place::Causes),
        _ => Step::Past,
    }
}

fn text(place: Place, key: &[u8]) -> Option<Field> {
    Some(match (place, key) {
        (Place::Top, b"kind") => Field::Kind,
        (Place::Top, b"reason") => Field::Reason,
        (Place::Metadata, b"name") => Field::Name,
        (Place::Metadata, b"uid") => Field::Uid,
        (Place::Metadata, b"resourceVersion") => Field::ResourceVersion,
        (Place::Metadata, b"deletionTimestamp") => Field::DeletionTimestamp,
        (Place::Finalizers, _) => Field::Finalizer,
        (Place::Owner, b"kind") => Field::OwnerKind,
        (Place::Owner, b"name") => Field::OwnerName,
        (Place::Owner, b"uid") => Field::OwnerUid,
        (Place::Cause, b"reason") => Field::CauseReason,
        (Place::Cause, b"field") => Field::CausePath,
        _ => return None,
    })
}
