//! What was found of an object so far, whichever form it is read from.

use std::borrow::Cow;

use super::{
    CAUSES_MAX, Cause, FIELD_MAX, KIND_MAX, NAME_MAX, Object, Owner, REASON_MAX,
    RESOURCE_VERSION_MAX, Seen, Status, UID_MAX,
};
use crate::kept::{Kept, Want};

/// A part of a document in which fields are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// What protobuf wraps an object in.
    Envelope,
    /// Its `typeMeta`.
    TypeMeta,
    /// The object itself.
    Top,
    Metadata,
    /// The list of owners, which only JSON has in one piece.
    Owners,
    Owner,
    /// The list of finalizers, which only JSON has in one piece.
    Finalizers,
    /// Of a namespace, which has finalizers there too.
    Spec,
    Details,
    /// The list of causes, which only JSON has in one piece.
    Causes,
    Cause,
}

/// A field that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Kind,
    Name,
    Uid,
    ResourceVersion,
    Generation,
    OwnerKind,
    OwnerName,
    OwnerUid,
    IsController,
    DeletionTimestamp,
    DeletionGracePeriod,
    Finalizer,
    Reason,
    CauseReason,
    CausePath,
}

impl Field {
    fn limit(self) -> usize {
        match self {
            Self::Kind | Self::OwnerKind => KIND_MAX,
            Self::Name | Self::OwnerName => NAME_MAX,
            Self::Uid | Self::OwnerUid => UID_MAX,
            Self::ResourceVersion => RESOURCE_VERSION_MAX,
            Self::Reason | Self::CauseReason => REASON_MAX,
            Self::CausePath => FIELD_MAX,
            Self::Generation
            | Self::IsController
            | Self::DeletionTimestamp
            | Self::DeletionGracePeriod
            | Self::Finalizer => 0,
        }
    }
}

/// What a value is to the reading.
pub(super) enum Step {
    Into(Place),
    Field(Field),
    Past,
}

/// What a kind's documents say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    /// An object that finalizers of its spec keep as well.
    Namespace,
    Status,
    /// Nothing that is wanted.
    Other,
}

impl Kind {
    fn of(kind: &str) -> Self {
        match kind {
            "Status" => Self::Status,
            "Namespace" => Self::Namespace,
            "" | "Table" | "APIGroup" | "APIVersions" => Self::Other,
            kind if kind.ends_with("List") => Self::Other,
            _ => Self::Object,
        }
    }
}

/// How far an object is on its way out.
#[derive(Debug, Default)]
struct Deletion {
    has_begun: bool,
    has_grace_period: bool,
    has_finalizers: bool,
    has_spec_finalizers: bool,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Where in the document the reading is, the outermost place first.
    places: Vec<Place>,
    field: Option<Field>,
    kind: Option<Kind>,
    object: Object,
    owner: Owner,
    is_controller: bool,
    deletion: Deletion,
    status: Status,
    cause: Cause,
    has_metadata: bool,
    has_spec: bool,
    has_reason: bool,
    has_details: bool,
    has_ended: bool,
}

impl Reading {
    pub(super) fn place(&self) -> Option<Place> {
        self.places.last().copied()
    }

    pub(super) fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// Takes a step, which says what is wanted of the value.
    pub(super) fn take(&mut self, step: Step) -> Want {
        match step {
            Step::Past => Want::Skip,
            Step::Field(field) => {
                self.field = Some(field);
                Want::Keep(field.limit())
            }
            Step::Into(place) => {
                self.places.push(place);
                match place {
                    Place::Owner => (self.owner, self.is_controller) = (Owner::default(), false),
                    Place::Cause => self.cause = Cause::default(),
                    _ => {}
                }
                Want::Enter
            }
        }
    }

    /// The document says nothing that is wanted.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// A text of the field that the last step was to.
    pub(super) fn text(&mut self, kept: &Kept) {
        let whole = || kept.whole().unwrap_or_default();
        let own = Cow::into_owned;
        match self.field.take() {
            None => {}
            Some(Field::Kind) => self.kind = Some(Kind::of(&whole())),
            Some(Field::Name) => self.object.name = own(whole()),
            Some(Field::Uid) => self.object.uid = own(whole()),
            Some(Field::ResourceVersion) => self.object.resource_version = own(whole()),
            Some(Field::Generation) => self.object.generation = whole().parse().ok(),
            Some(Field::DeletionTimestamp) => self.deletion.has_begun = true,
            Some(Field::DeletionGracePeriod) => self.deletion.has_grace_period = kept.text() != "0",
            Some(Field::Finalizer) if self.places.contains(&Place::Spec) => {
                self.deletion.has_spec_finalizers = true;
            }
            Some(Field::Finalizer) => self.deletion.has_finalizers = true,
            Some(Field::OwnerKind) => self.owner.kind = own(whole()),
            Some(Field::OwnerName) => self.owner.name = own(whole()),
            Some(Field::OwnerUid) => self.owner.uid = own(whole()),
            Some(Field::IsController) => self.is_controller = whole() == "true",
            Some(Field::Reason) => {
                self.status.reason = own(kept.text());
                self.has_reason = true;
            }
            Some(Field::CauseReason) => self.cause.reason = own(kept.text()),
            Some(Field::CausePath) => self.cause.field = own(kept.text()),
        }
    }

    /// A number of the field that the last step was to.
    pub(super) fn number(&mut self, number: u64) {
        match self.field.take() {
            Some(Field::Generation) => self.object.generation = Some(number.cast_signed()),
            Some(Field::IsController) => self.is_controller = number != 0,
            Some(Field::DeletionGracePeriod) => self.deletion.has_grace_period = number != 0,
            _ => {}
        }
    }

    /// The place that was last entered has ended.
    pub(super) fn left(&mut self) {
        match self.places.pop() {
            Some(Place::Metadata) => self.has_metadata = true,
            Some(Place::Spec) => self.has_spec = true,
            Some(Place::Details) => self.has_details = true,
            Some(Place::Top) => self.has_ended = true,
            Some(Place::Owner) if self.is_controller => {
                let owner = std::mem::take(&mut self.owner);
                self.object.controller.get_or_insert(owner);
            }
            Some(Place::Cause) if self.status.causes.len() < CAUSES_MAX => {
                self.status.causes.push(std::mem::take(&mut self.cause));
            }
            _ => {}
        }
    }

    /// Whether the rest of the document says nothing more.
    pub(super) fn is_done(&self) -> bool {
        self.has_ended
            || match self.kind {
                None => false,
                Some(Kind::Other) => true,
                Some(Kind::Object | Kind::Namespace) => self.is_object_whole(),
                Some(Kind::Status) => self.has_reason && self.has_details,
            }
    }

    /// Whether all that is wanted was read, or its place to its end.
    pub(super) fn is_whole(&self) -> bool {
        match self.kind {
            Some(Kind::Object | Kind::Namespace) => self.is_object_whole(),
            Some(Kind::Status) => self.is_done(),
            Some(Kind::Other) | None => false,
        }
    }

    /// Whether all that is wanted of an object was read. What keeps a namespace is in its spec.
    fn is_object_whole(&self) -> bool {
        let needs_spec = self.kind == Some(Kind::Namespace) && self.deletion.has_begun;
        self.is_full() || self.has_metadata && (!needs_spec || self.has_spec || self.has_ended)
    }

    /// Whether the object has all that it can have. Its finalizers may come last, but behind the time
    /// of its deletion.
    fn is_full(&self) -> bool {
        let object = &self.object;
        let texts = [&object.name, &object.uid, &object.resource_version];
        texts.iter().all(|text| !text.is_empty())
            && object.generation.is_some()
            && object.controller.is_some()
            && !self.deletion.has_begun
    }

    pub(super) fn finish(mut self) -> Seen {
        match self.kind {
            Some(Kind::Object | Kind::Namespace) => {
                let is_kept =
                    self.kind == Some(Kind::Namespace) && self.deletion.has_spec_finalizers;
                self.object.is_removed =
                    self.is_object_whole() && self.deletion.is_done() && !is_kept;
                Seen::Object(self.object)
            }
            Some(Kind::Status) => Seen::Status(self.status),
            Some(Kind::Other) | None => Seen::Nothing,
        }
    }
}

impl Deletion {
    /// Whether nothing keeps the object any more: it is not there after this response.
    fn is_done(&self) -> bool {
        self.has_begun && !self.has_grace_period && !self.has_finalizers
    }
}
