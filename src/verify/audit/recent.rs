//! Which requests were counted already.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
};

use jiff::Timestamp;

use super::event::Event;

/// How many requests are remembered after they were counted, for stages that come late or again.
const RECENT_MAX: usize = 100_000;
/// How many long-running requests are remembered until their end comes; a policy may leave it out.
const OPEN_MAX: usize = 1_000_000;

/// What tells a request from all others. Its audit ID alone doesn't, since a client may give one:
/// the time, what was asked for and by whom are the same in all of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    received: Timestamp,
    /// Of audit ID, verb, URI and user.
    hash: u64,
}

/// The requests that were counted lately, and long-running ones that have not ended.
#[derive(Debug, Default)]
pub(super) struct Counted {
    hasher: RandomState,
    open: Latest<Identity, OPEN_MAX>,
    recent: Latest<Identity, RECENT_MAX>,
}

impl Counted {
    /// Which request an event is of.
    pub(super) fn identity(&self, event: &Event<'_>) -> Identity {
        let text = (
            &event.audit_id,
            &event.verb,
            &event.request_uri,
            &event.user.username,
        );
        Identity {
            received: event.request_received_timestamp,
            hash: self.hasher.hash_one(text),
        }
    }

    /// Whether an event is the first that counts this request; `ends` is whether none follows.
    pub(super) fn is_first(&mut self, request: Identity, ends: bool) -> bool {
        if self.recent.contains(&request) {
            return false;
        }
        let first = !self.open.contains(&request);
        if ends {
            self.open.remove(&request);
            self.recent.insert(request);
        } else if first {
            self.open.insert(request);
        }
        first
    }
}

/// What was inserted last.
#[derive(Debug)]
pub(super) struct Latest<T, const MAX: usize> {
    members: HashSet<T>,
    order: VecDeque<T>,
}

impl<T, const MAX: usize> Default for Latest<T, MAX> {
    fn default() -> Self {
        Self {
            members: HashSet::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T: Copy + Eq + std::hash::Hash, const MAX: usize> Latest<T, MAX> {
    pub(super) fn contains(&self, member: &T) -> bool {
        self.members.contains(member)
    }

    pub(super) fn insert(&mut self, member: T) {
        if self.order.len() >= MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.members.remove(&oldest);
        }
        self.order.push_back(member);
        self.members.insert(member);
    }

    pub(super) fn remove(&mut self, member: &T) {
        self.members.remove(member);
    }
}
