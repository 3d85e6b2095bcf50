//! What is wanted of the options of a delete, which an eviction has within: which version of the object
//! it is for, and whether it is a dry run, which no other write says in its body.

use super::Sent;
use crate::{
    json::{Shape, Visitor},
    kept::{Kept, Want},
    object::RESOURCE_VERSION_MAX,
    protobuf::{Fields, Wire},
};

/// Where in the options the reading is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletion {
    #[default]
    Outside,
    /// Outside of an eviction.
    OutsideEviction,
    Eviction,
    Options,
    Preconditions,
    /// In the list of stages that are left out, which only JSON has in one piece.
    DryRun,
    Done,
}

impl Deletion {
    pub(super) fn reading<'a>(&'a mut self, sent: &'a mut Sent) -> Reading<'a> {
        Reading { place: self, sent }
    }

    pub(super) fn is_done(self) -> bool {
        self == Self::Done
    }

    /// The place behind this one, which has ended.
    fn after(self) -> Self {
        match self {
            Self::Preconditions | Self::DryRun => Self::Options,
            Self::Outside | Self::OutsideEviction | Self::Eviction | Self::Options | Self::Done => {
                Self::Done
            }
        }
    }
}

/// Reads options.
pub(super) struct Reading<'a> {
    place: &'a mut Deletion,
    sent: &'a mut Sent,
}

impl Reading<'_> {
    fn enter(&mut self, place: Deletion) -> Want {
        *self.place = place;
        Want::Enter
    }

    fn note_dry_run(&mut self) -> Want {
        self.sent.dry_run = true;
        Want::Skip
    }
}

impl Visitor for Reading<'_> {
    fn value(&mut self, key: Option<&[u8]>, shape: Shape) -> Want {
        match (*self.place, key, shape) {
            (Deletion::Outside, _, Shape::Object)
            | (Deletion::Eviction, Some(b"deleteOptions"), Shape::Object) => {
                self.enter(Deletion::Options)
            }
            (Deletion::OutsideEviction, _, Shape::Object) => self.enter(Deletion::Eviction),
            (Deletion::Outside | Deletion::OutsideEviction, ..) => {
                *self.place = Deletion::Done;
                Want::Skip
            }
            (Deletion::Options, Some(b"preconditions"), Shape::Object) => {
                self.enter(Deletion::Preconditions)
            }
            (Deletion::Options, Some(b"dryRun"), Shape::List) => self.enter(Deletion::DryRun),
            (Deletion::DryRun, ..) => self.note_dry_run(),
            (Deletion::Preconditions, Some(b"resourceVersion"), Shape::String) => {
                Want::Keep(RESOURCE_VERSION_MAX)
            }
            _ => Want::Skip,
        }
    }

    fn kept(&mut self, value: &Kept) {
        self.sent.resource_version = value.whole().unwrap_or_default().into_owned();
    }

    fn left(&mut self) {
        *self.place = self.place.after();
    }

    fn is_done(&self) -> bool {
        self.place.is_done()
    }
}

/// The options are in the `raw` of `runtime.Unknown`.
impl Fields for Reading<'_> {
    fn field(&mut self, number: u64, wire: Wire) -> Want {
        match (*self.place, number, wire) {
            (Deletion::OutsideEviction, 2, Wire::Bytes) => self.enter(Deletion::Eviction),
            // The second field of an eviction, too, has them.
            (Deletion::Outside | Deletion::Eviction, 2, Wire::Bytes) => {
                self.enter(Deletion::Options)
            }
            (Deletion::Options, 2, Wire::Bytes) => self.enter(Deletion::Preconditions),
            (Deletion::Options, 5, Wire::Bytes) => self.note_dry_run(),
            (Deletion::Preconditions, 2, Wire::Bytes) => Want::Keep(RESOURCE_VERSION_MAX),
            _ => Want::Skip,
        }
    }

    fn kept(&mut self, text: &Kept) {
        self.sent.resource_version = text.whole().unwrap_or_default().into_owned();
    }

    fn number(&mut self, _: u64) {}

    fn left(&mut self) {
        *self.place = self.place.after();
    }

    fn is_done(&self) -> bool {
        self.place.is_done()
    }
}
