//! What was measured: batches of the same call.

use std::collections::BTreeMap;

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

impl Measured {
    /// What is called in all rounds on the same.
    pub(crate) fn kind(&self) -> Kind {
        (self.what.clone(), self.size)
    }
}

/// What is called on which objects.
pub type Kind = (What, Size);

/// All that a price list is made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measurements {
    /// In the order in which they were made.
    pub batches: Vec<Measured>,
    /// Which calls the mix of each round had, each of a small object.
    pub mixes: BTreeMap<usize, BTreeMap<What, u64>>,
    /// Bytes that the API server allocates for a call.
    pub allocated: BTreeMap<Kind, f64>,
    /// Microseconds of its CPU that collect garbage, for each byte that it allocates.
    pub collecting_us_per_byte: f64,
}

/// Which batch it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Nobody called; the number of calls is that of milliseconds.
    Idle,
    /// Nobody called, and no time went by: what reading the CPU takes of it.
    Reading,
    /// A get of a Lease: the unit.
    Toll,
    /// Calls of many kinds in random order.
    Mix,
    /// A call that ended so, without webhooks and watches.
    Call(PricedCall, PricedOutcome),
    /// The same call with something that it sets off.
    With(Extra, PricedCall, PricedOutcome),
}

/// What a call sets off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extra {
    /// Nothing: what the others are compared with.
    Nothing,
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
    /// Microseconds of it that collected garbage, where that could be read.
    pub collecting_us: Option<f64>,
    /// Bytes that etcd wrote to its disk, where that could be read.
    pub written_bytes: Option<f64>,
}
