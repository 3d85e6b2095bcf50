//! The fields that a part of an object names, as JSON pointers.

use super::{PATH_MAX, Sent};
use crate::{
    json::{Shape, Visitor},
    kept::{Kept, Want},
    object::RESOURCE_VERSION_MAX,
};

/// Which object it is, and of which version: no changes.
const IDENTITY: [&str; 5] = [
    "/apiVersion",
    "/kind",
    "/metadata/name",
    "/metadata/namespace",
    RESOURCE_VERSION,
];
const RESOURCE_VERSION: &str = "/metadata/resourceVersion";

/// Where in the part the reading is.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    /// The pointer of what was last entered, or of that above it which is not too long.
    pointer: String,
    /// How many keys the pointer lacks, since it would be too long.
    missing: usize,
    is_begun: bool,
    /// Whether nothing was found yet in what was last entered.
    is_empty: bool,
    is_wrong: bool,
}

impl Leaves {
    pub(super) fn reading<'a>(&'a mut self, sent: &'a mut Sent) -> Reading<'a> {
        Reading { at: self, sent }
    }

    /// Whether it is no object.
    pub(super) fn is_wrong(&self) -> bool {
        self.is_wrong
    }

    fn push(&mut self, key: &[u8]) {
        let key = String::from_utf8_lossy(key);
        let tildes = key.bytes().filter(|byte| b"~/".contains(byte)).count();
        if self.missing > 0 || self.pointer.len() + 1 + key.len() + tildes > PATH_MAX {
            self.missing += 1;
            return;
        }
        self.pointer.push('/');
        for character in key.chars() {
            match character {
                '~' => self.pointer.push_str("~0"),
                '/' => self.pointer.push_str("~1"),
                character => self.pointer.push(character),
            }
        }
    }

    fn pop(&mut self) {
        if self.missing > 0 {
            self.missing -= 1;
        } else if let Some(end) = self.pointer.rfind('/') {
            self.pointer.truncate(end);
        }
    }
}

/// Reads a part of an object.
pub(super) struct Reading<'a> {
    at: &'a mut Leaves,
    sent: &'a mut Sent,
}

impl Reading<'_> {
    fn add_leaf(&mut self) {
        if self.at.missing > 0 {
            self.sent.add_path(None);
        } else if !IDENTITY.contains(&self.at.pointer.as_str()) {
            self.sent.add_path(Some(&self.at.pointer));
        }
    }

    fn begin(&mut self, shape: Shape) -> Want {
        self.at.is_begun = true;
        self.at.is_wrong = shape != Shape::Object;
        Want::Enter
    }
}

impl Visitor for Reading<'_> {
    fn value(&mut self, key: Option<&[u8]>, shape: Shape) -> Want {
        if !self.at.is_begun {
            return self.begin(shape);
        }
        self.at.push(key.unwrap_or_default());
        if shape == Shape::Object {
            self.at.is_empty = true;
            return Want::Enter;
        }
        self.add_leaf();
        let is_version = self.at.missing == 0 && self.at.pointer == RESOURCE_VERSION;
        self.at.pop();
        self.at.is_empty = false;
        if is_version && shape == Shape::String {
            Want::Keep(RESOURCE_VERSION_MAX)
        } else {
            Want::Skip
        }
    }

    fn kept(&mut self, value: &Kept) {
        self.sent.resource_version = value.whole().unwrap_or_default().into_owned();
    }

    fn left(&mut self) {
        // An object without members is a leaf too: it may be there, as `emptyDir` is, or not.
        if std::mem::take(&mut self.at.is_empty) {
            self.add_leaf();
        }
        self.at.pop();
    }

    fn is_done(&self) -> bool {
        self.at.is_wrong
    }
}
