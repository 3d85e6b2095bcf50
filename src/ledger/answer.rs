//! What is known of a request when it is answered.

use std::{sync::Arc, time::Duration};

use super::{party::Party, row::Outcome};
use classify::CallName;
use recorder::Line;

/// What is known of the client of a request when it is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The client's credential was authenticated: what it called is booked by its own name, under
    /// its own party, with its object.
    Authenticated,
    /// The proxy's configuration alone names the component. The request is booked by its own name only
    /// if an authenticated client has made that call before.
    Configured,
    /// Nothing: it is booked by its folded name, without an object.
    Unauthenticated,
}

/// Calls a function with a call's name.
pub type WithName<'a> = dyn Fn(&mut dyn FnMut(&CallName<'_>)) + 'a;

/// What is known when a request is answered.
pub struct Answer<'a> {
    /// The API server's status code, or why there is none.
    pub outcome: Outcome,
    /// Who made the request.
    pub party: &'a Arc<Party>,
    /// What is known of the client.
    pub standing: Standing,
    /// The call's name; asked for only where it was opened under another one.
    pub name: &'a WithName<'a>,
    /// Time since the request's head was read.
    pub elapsed: Duration,
    /// Namespace and name of the object; asked for only while a run has detail open.
    pub object: &'a dyn Fn() -> ObjectRef,
    /// Its line in a journal, given the id of its row; asked for only while one is kept.
    pub line: &'a dyn Fn(u32) -> Line,
}

/// The object that a request names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Namespace or empty.
    pub namespace: Box<str>,
    /// Name or empty.
    pub name: Box<str>,
}
