//! One instant of the books.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    books::Books,
    row::{CallBook, Histogram, Outcome, Row},
    watch_events::WatchCount,
};
use classify::CallName;

/// All counters at one instant, in the order of their ids. Bytes of bodies and
/// events of watches are as of some moment while they were read: they are added without the snapshot
/// lock.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// What was answered.
    pub rows: Vec<RowCount>,
    /// What was opened and closed.
    pub calls: Vec<CallCount>,
    /// The events that watches have delivered.
    pub events: Vec<WatchCount>,
    /// Requests that the full books could not tell apart: counted in the overflow row, or for the
    /// overflow party.
    pub overflowed: u64,
}

/// All counters, still without their names: what is copied while nobody may book.
pub(super) struct Counters {
    rows: Vec<(Arc<Row>, RowCounters)>,
    /// Opened and closed.
    calls: Vec<(Arc<CallBook>, u64, u64)>,
    overflowed: u64,
}

struct RowCounters {
    answered: u64,
    closed: u64,
    cut_short: u64,
    request_bytes: u64,
    response_bytes: u64,
    to_head: Histogram,
    to_end: Histogram,
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
    /// Requests opened. A request that is answered may move to another call.
    pub opened: u64,
    /// Requests closed.
    pub closed: u64,
    /// Whether these are requests of clients that no answer has authenticated, by folded names.
    pub folded: bool,
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
        let mut counters = self.reserve_counters();
        {
            let _no_booking = self.lock_for_snapshot();
            self.read(&mut counters);
        }
        counters.into_snapshot()
    }

    /// Memory for the counters, so that none is asked for while nobody may book.
    pub(super) fn reserve_counters(&self) -> Counters {
        let calls = self.calls.len() + self.folded.len() + 2;
        Counters {
            rows: Vec::with_capacity(self.rows.len() + SPARE_ROWS),
            calls: Vec::with_capacity(calls + SPARE_ROWS),
            overflowed: 0,
        }
    }

    /// Copies all counters. They are of one instant if the caller holds the snapshot lock.
    pub(super) fn read(&self, counters: &mut Counters) {
        for row in &self.rows {
            let read = read_row(&row);
            if self.is_overflow(&row) {
                counters.overflowed += read.answered;
            }
            counters.rows.push((Arc::clone(&row), read));
        }
        let mut read = |call: &Arc<CallBook>| {
            let (opened, closed) = (load(&call.opened), load(&call.closed));
            counters.calls.push((Arc::clone(call), opened, closed));
        };
        for call in self.calls.iter().chain(self.folded.iter()) {
            read(&call);
        }
        read(&self.shared.overflow_call);
        read(&self.shared.other_call);
    }
}

impl Books {
    /// Whether a row counts what full tables could not tell apart. Requests of
    /// unauthenticated clients lose nothing by that: they have no client by any name.
    fn is_overflow(&self, row: &Row) -> bool {
        let shared = &self.shared;
        let is_unauthenticated = [&shared.unauthenticated, &shared.unproven]
            .iter()
            .any(|party| Arc::ptr_eq(&row.party, party));
        Arc::ptr_eq(&row.party, &shared.overflow_party)
            || Arc::ptr_eq(&row.call, &shared.overflow_call)
            || (Arc::ptr_eq(&row.call, &shared.other_call) && !is_unauthenticated)
    }
}

/// Rows that may be added between the reservation of memory and the reading.
const SPARE_ROWS: usize = 64;

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn read_row(row: &Row) -> RowCounters {
    RowCounters {
        answered: load(&row.answered),
        closed: load(&row.closed),
        cut_short: load(&row.cut_short),
        request_bytes: load(&row.request_bytes),
        response_bytes: load(&row.response_bytes),
        to_head: row.to_head.read(),
        to_end: row.to_end.read(),
    }
}

impl Counters {
    /// Gives the counters their names and their order.
    pub(super) fn into_snapshot(self) -> Snapshot {
        let overflowed = self.overflowed;
        let mut events: Vec<WatchCount> = self
            .rows
            .iter()
            .filter_map(|(row, _)| row.events.read(row.id))
            .collect();
        events.sort_unstable_by_key(|count| count.row);
        let answered = self.rows.into_iter().filter(|(_, row)| row.answered > 0);
        let mut rows: Vec<RowCount> = answered.map(|(row, count)| named(&row, count)).collect();
        rows.sort_unstable_by_key(|row| row.id);
        let opened = self.calls.into_iter().filter(|(_, opened, _)| *opened > 0);
        let mut calls: Vec<CallCount> = opened
            .map(|(call, opened, closed)| CallCount {
                call: call.parts.each_ref().map(ToString::to_string),
                opened,
                closed,
                folded: call.is_folded,
            })
            .collect();
        calls.sort_unstable_by(|one, other| {
            (&one.call, one.folded).cmp(&(&other.call, other.folded))
        });
        Snapshot {
            rows,
            calls,
            events,
            overflowed,
        }
    }
}

fn named(row: &Row, count: RowCounters) -> RowCount {
    RowCount {
        id: row.id,
        component: row.party.component.to_string(),
        user: row.party.user.to_string(),
        call: row.call.parts.each_ref().map(ToString::to_string),
        outcome: row.outcome,
        answered: count.answered,
        closed: count.closed,
        cut_short: count.cut_short,
        request_bytes: count.request_bytes,
        response_bytes: count.response_bytes,
        to_head: count.to_head,
        to_end: count.to_end,
    }
}
