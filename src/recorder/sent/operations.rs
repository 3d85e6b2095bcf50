//! The operations of a JSON patch. What an operation is may come behind what it is done to.

use super::{PATH_MAX, Sent};
use crate::{
    json::{Shape, Visitor},
    kept::{Kept, Want},
};

/// Bytes of the longest name of an operation, which is `replace`.
const OPERATION_MAX: usize = 7;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    List,
    Operation,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Name {
    Test,
    Move,
    #[default]
    Other,
}

/// A member of an operation.
#[derive(Debug, Default, Clone, Copy)]
enum Member {
    #[default]
    Name,
    Path,
    From,
}

/// A path, which is nothing where it is too long.
type Path = Option<String>;

/// Where in the patch the reading is, and what it knows of the operation that it is in.
#[derive(Debug, Default)]
pub(super) struct Operations {
    place: Place,
    member: Member,
    name: Name,
    path: Option<Path>,
    from: Option<Path>,
    is_wrong: bool,
}

impl Operations {
    pub(super) fn reading<'a>(&'a mut self, sent: &'a mut Sent) -> Reading<'a> {
        Reading { at: self, sent }
    }

    /// Whether it is no list of operations.
    pub(super) fn is_wrong(&self) -> bool {
        self.is_wrong
    }

    fn keep(&mut self, member: Member, limit: usize) -> Want {
        self.member = member;
        Want::Keep(limit)
    }

    fn enter(&mut self, place: Place) -> Want {
        self.place = place;
        Want::Enter
    }
}

/// Reads a patch.
pub(super) struct Reading<'a> {
    at: &'a mut Operations,
    sent: &'a mut Sent,
}

impl Reading<'_> {
    fn end_operation(&mut self) {
        let name = std::mem::take(&mut self.at.name);
        let path = self.at.path.take();
        let from = self.at.from.take();
        match (name, &path) {
            (_, None) => {}
            (Name::Test, Some(path)) => self.sent.add_test(path.as_deref()),
            (_, Some(path)) => self.sent.add_path(path.as_deref()),
        }
        if let (Name::Move, Some(from)) = (name, from) {
            self.sent.add_path(from.as_deref());
        }
    }
}

impl Visitor for Reading<'_> {
    fn value(&mut self, key: Option<&[u8]>, shape: Shape) -> Want {
        match (self.at.place, key, shape) {
            (Place::Outside, _, Shape::List) => self.at.enter(Place::List),
            (Place::List, _, Shape::Object) => self.at.enter(Place::Operation),
            (Place::Outside | Place::List, ..) => {
                self.at.is_wrong = true;
                Want::Skip
            }
            (Place::Operation, Some(b"op"), Shape::String) => {
                self.at.keep(Member::Name, OPERATION_MAX)
            }
            (Place::Operation, Some(b"path"), Shape::String) => {
                self.at.keep(Member::Path, PATH_MAX)
            }
            (Place::Operation, Some(b"from"), Shape::String) => {
                self.at.keep(Member::From, PATH_MAX)
            }
            (Place::Operation, ..) => Want::Skip,
        }
    }

    fn kept(&mut self, value: &Kept) {
        let path = || value.whole().map(Into::into);
        match self.at.member {
            Member::Path => self.at.path = Some(path()),
            Member::From => self.at.from = Some(path()),
            Member::Name => {
                self.at.name = match value.bytes() {
                    b"test" => Name::Test,
                    b"move" => Name::Move,
                    _ => Name::Other,
                }
            }
        }
    }

    fn left(&mut self) {
        if self.at.place == Place::Operation {
            self.end_operation();
            self.at.place = Place::List;
        }
    }

    fn is_done(&self) -> bool {
        self.at.is_wrong
    }
}
