//! What was measured: batches of the same call.

use record::{PricedCall, PricedOutcome, WebhookKind};

/// One batch of the same call, made one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The round, counted from 0. A round has each kind of batch once.
    pub round: usize,
    /// What was called.
    pub what: What,
    /// On objects of which size.
    pub size: Size,
    /// How many calls.
    pub calls: u64,
    /// Bytes of both bodies of a call.
    pub bytes: f64,
    /// Bytes of the object as JSON.
    pub object_bytes: f64,
    /// What all calls of the batch took.
    pub usage: Usage,
}

/// Which batch it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Nobody called; the number of calls is that of milliseconds.
    Idle,
    /// A get of a Lease: the unit.
    Toll,
    /// A call that ended so, without webhooks and watches.
    Call(PricedCall, PricedOutcome),
    /// The same call with something that it sets off.
    With(Extra, PricedCall, PricedOutcome),
}

/// What a call sets off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extra {
    /// One call of a webhook of that kind.
    Webhook(WebhookKind),
    /// One event to each of so many watches.
    Watches(u32),
}

/// How large the objects are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// As they are.
    Small,
    /// With more in them.
    Large,
}

/// What the API server and etcd took meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Seconds that went by.
    pub seconds: f64,
    /// Microseconds of the API server's CPU.
    pub cpu_us: f64,
    /// Microseconds of etcd's CPU, where that could be read.
    pub etcd_cpu_us: Option<f64>,
    /// Bytes that the API server allocated, and how often it collected garbage, where it says so.
    pub memory: Option<Memory>,
    /// Bytes that etcd wrote to its disk, where that could be read.
    pub written_bytes: Option<f64>,
}

/// What an API server's memory did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Memory {
    /// Bytes allocated.
    pub allocated_bytes: f64,
    /// Garbage collections that ended.
    pub collections: f64,
}
