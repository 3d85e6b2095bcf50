//! What a comparison of the books with a log finds, as it goes on.

use std::{cmp::Reverse, collections::HashMap};

use jiff::Timestamp;

use record::{CallRecord, Difference, Verification};

/// Most kinds of differences that are listed.
const LISTED_MAX: usize = 1_000;
/// How many requests of a kind are named.
const NAMED_MAX: usize = 3;

/// What a kind of difference is, on both sides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Sides {
    pub(super) user: String,
    pub(super) call: CallRecord,
    pub(super) books: String,
    pub(super) log: String,
}

/// A request that differs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) audit_id: &'a str,
    pub(super) at: Option<Timestamp>,
}

/// The comparison so far.
#[derive(Debug)]
pub(super) struct Findings {
    found: Verification,
    /// Where in the list a kind of difference is.
    listed: HashMap<Sides, usize>,
}

impl From<Verification> for Findings {
    fn from(found: Verification) -> Self {
        Self {
            found,
            listed: HashMap::new(),
        }
    }
}

impl From<Findings> for Verification {
    /// What stands for most requests comes first.
    fn from(findings: Findings) -> Self {
        let mut found = findings.found;
        found.unexplained.sort_by_key(|one| Reverse(one.count));
        found
    }
}

impl Findings {
    pub(super) fn is_by_request(&self) -> bool {
        self.found.by_request
    }

    pub(super) fn equal(&mut self, count: u64) {
        self.found.equal += count;
    }

    pub(super) fn explain(&mut self, why: &str, count: u64) {
        if count > 0 {
            *self.found.explained.entry(why.to_owned()).or_default() += count;
        }
    }

    pub(super) fn not_through_the_proxy(&mut self, user: &str) {
        let count = self.found.not_through_the_proxy.entry(user.to_owned());
        *count.or_default() += 1;
    }

    /// `count` requests that differ in one way, of which one may be named.
    pub(super) fn differ(&mut self, sides: Sides, count: u64, request: Option<Request<'_>>) {
        self.found.unexplained_count += count;
        let list = &mut self.found.unexplained;
        let at = match self.listed.get(&sides) {
            Some(at) => *at,
            None if list.len() == LISTED_MAX => return,
            None => {
                list.push(difference(&sides));
                self.listed.insert(sides, list.len() - 1);
                list.len() - 1
            }
        };
        let difference = &mut list[at];
        difference.count += count;
        if let Some(request) = request {
            name(difference, request);
        }
    }
}

fn difference(sides: &Sides) -> Difference {
    Difference {
        user: sides.user.clone(),
        call: sides.call.clone(),
        books: sides.books.clone(),
        log: sides.log.clone(),
        count: 0,
        audit_ids: Vec::new(),
        first: None,
        last: None,
    }
}

fn name(difference: &mut Difference, request: Request<'_>) {
    if difference.audit_ids.len() < NAMED_MAX && !request.audit_id.is_empty() {
        difference.audit_ids.push(request.audit_id.to_owned());
    }
    if let Some(at) = request.at {
        difference.first = Some(difference.first.map_or(at, |first| first.min(at)));
        difference.last = difference.last.max(Some(at));
    }
}
