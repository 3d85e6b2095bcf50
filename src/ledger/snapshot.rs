//! One instant of the books.

use std::sync::{Arc, RwLockWriteGuard, atomic::Ordering};

use super::{
    Books,
    row::{CallBook, Histogram, Outcome, Row},
    run::OpenRun,
};
use crate::classify::CallName;

/// All counters at one instant, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// What was answered.
    pub rows: Vec<RowCount>,
    /// What was opened and closed.
    pub calls: Vec<CallCount>,
    /// Requests that were counted in the overflow row.
    pub overflowed: u64,
}

/// A row's counters.
#[derive(Debug, Clone, PartialEq)]
pub struct RowCount {
    /// The row's id, stable for the life of the books.
    pub id: u32,
    /// Component for display.
    pub component: String,
    /// The user, empty if the API server didn't accept one.
    pub user: String,
    /// The parts of the call's name.
    pub call: [String; 8],
    /// The status code, or why there is none.
    pub outcome: Outcome,
    /// Requests answered.
    pub answered: u64,
    /// Of these, requests closed.
    pub closed: u64,
    /// Of these, requests whose response was cut short by a failure or by the client.
    pub cut_short: u64,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of response bodies.
    pub response_bytes: u64,
    /// Time from the request's head to the response's.
    pub to_head: Histogram,
    /// Time from the request's head to the end of the response.
    pub to_end: Histogram,
}

/// What was opened and closed of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCount {
    /// The parts of the call's name.
    pub call: [String; 8],
    /// Requests opened.
    pub opened: u64,
    /// Requests closed.
    pub closed: u64,
}

impl RowCount {
    /// The call's name.
    pub fn name(&self) -> CallName<'_> {
        CallName::from_parts(self.call.each_ref().map(String::as_str))
    }
}

impl CallCount {
    /// The call's name.
    pub fn name(&self) -> CallName<'_> {
        CallName::from_parts(self.call.each_ref().map(String::as_str))
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u64 {
        self.opened - self.closed
    }
}

impl Books {
    /// All counters at one instant.
    pub fn snapshot(&self) -> Snapshot {
        let _desk = self.closed_desk();
        self.read_all()
    }

    /// The desk with nobody booking.
    pub(super) fn closed_desk(&self) -> RwLockWriteGuard<'_, Option<Arc<OpenRun>>> {
        self.desk
            .write()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    /// Reads everything; for one instant the caller holds the closed desk.
    pub(super) fn read_all(&self) -> Snapshot {
        let mut rows: Vec<RowCount> = self.rows.iter().map(|row| read_row(&row)).collect();
        rows.retain(|row| row.answered > 0);
        rows.sort_unstable_by_key(|row| row.id);
        let mut calls: Vec<CallCount> = self.calls.iter().map(|call| read_call(&call)).collect();
        calls.push(read_call(&self.overflow_call));
        calls.retain(|call| call.opened > 0);
        calls.sort_unstable_by(|one, other| one.call.cmp(&other.call));
        let overflowed = rows.iter().filter(|row| row.name().is_overflow());
        Snapshot {
            overflowed: overflowed.map(|row| row.answered).sum(),
            rows,
            calls,
        }
    }
}

fn read_row(row: &Row) -> RowCount {
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    RowCount {
        id: row.id,
        component: row.party.component.to_string(),
        user: row.party.user.to_string(),
        call: row.call.parts.each_ref().map(ToString::to_string),
        outcome: row.outcome,
        answered: read(&row.answered),
        closed: read(&row.closed),
        cut_short: read(&row.cut_short),
        request_bytes: read(&row.request_bytes),
        response_bytes: read(&row.response_bytes),
        to_head: row.to_head.read(),
        to_end: row.to_end.read(),
    }
}

fn read_call(call: &CallBook) -> CallCount {
    CallCount {
        call: call.parts.each_ref().map(ToString::to_string),
        opened: call.opened.load(Ordering::Relaxed),
        closed: call.closed.load(Ordering::Relaxed),
    }
}
