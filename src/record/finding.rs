//! Which calls of a run failed or were needless, and why.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is wrong with calls.
///
/// The first six are the failed calls: each is in exactly one finding of these kinds, and no other
/// finding has a `code`. A request is counted in `saved` by the first kind that it is found for, in
/// the order here; those from [`Retry`](Self::Retry) on save nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallFindingKind {
    /// A call that got a code from 400 on, or no answer, and is none of the next five. Saved: all
    /// but a get that was answered 404, which is how a client learns that there is no such object.
    Failure,
    /// An update or patch that was answered 409, since somebody else wrote the object or owns a
    /// field of it. Saved: all.
    Conflict,
    /// A create that was answered 409, since the object is there. Saved: all.
    AlreadyExists,
    /// A call on an object that is gone: a get, update, patch or delete that was answered 404 after
    /// the object had been deleted or been there in the run, 410, or 409 after it had been removed.
    /// Saved: all but a get that was answered 404.
    GoneObject,
    /// A call that was answered 429: come again later. Saved: all.
    Throttled,
    /// A list or watch that was answered 410: the version to go on from is no longer kept.
    /// Saved: all.
    Expired,
    /// A successful update or patch after which the object has the version that it had before.
    /// Saved: all.
    NoOpWrite,
    /// A get, or a list without selectors, of what was read by the same process at most a second
    /// before, and did not change since. Saved: all.
    RepeatedRead,
    /// A get of an object of a resource that the same process watches. Saved: all, but for watches
    /// that leave out objects or may do so.
    GetOfWatched,
    /// The same call on the same object within a second after it failed. Saved: none, since the
    /// failure is, and the retry too if it failed itself.
    Retry,
    /// Successful writes of an object that a component wrote more than ten times within ten seconds.
    /// Saved: none, since nothing tells which of them could be one.
    HotObject,
    /// A successful list of more than one object without `resourceVersion` and without `limit`: the
    /// API server has to give all of them in their newest state. Saved: none.
    UnboundedList,
    /// A successful list, or watch that begins with all objects, of what the same process had listed
    /// in the run before. Saved: none, unless as a repeated read.
    Relist,
    /// A watch that ended at most 30 seconds after it began, did not ask for that, and did not end with
    /// its client. Saved: none.
    ShortWatch,
    /// A call whose answer had a warning: most often, that the version of the API is deprecated.
    /// Saved: none.
    DeprecatedApi,
}

/// Calls of one component that failed, or were needless, for the same reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallFinding {
    /// What is wrong with them.
    pub kind: CallFindingKind,
    /// `KIND:COMPONENT:CALL:REASON`, with `@CODE` after the call if there is a code. It is the same
    /// in every run, and unique in one.
    pub id: String,
    /// The component.
    pub component: String,
    /// The call, such as `UPDATE-virtualmachines/status`.
    pub call: String,
    /// The status code of failed calls, or why they got no answer; empty for other kinds.
    pub code: String,
    /// How many calls.
    pub calls: u64,
    /// How many of them could go and are counted by no other finding.
    pub saved: u64,
    /// Microseconds of the API server's CPU that these cost by the price list, each by how it ended.
    /// `None` without a list, and if it has a price for none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_cpu_us: Option<f64>,
    /// The same in tolls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_tolls: Option<f64>,
    /// `calls` by the number of the run's objects, where that is known.
    pub per_object: Option<f64>,
    /// Why, in few words for programs: no counts and no names of objects.
    pub reason: String,
    /// Why, in one sentence for people.
    pub detail: String,
    /// The first of them, to look it up.
    pub example: CallExample,
}

/// How many calls the objects of a run cost, each with what it owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerObject {
    /// The fewest.
    pub least: u64,
    /// The median, by nearest rank.
    pub p50: u64,
    /// The 95th percentile, by nearest rank.
    pub p95: u64,
    /// The most.
    pub most: u64,
    /// Objects that cost far more than others, the most first, 10 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outliers: Vec<ObjectCalls>,
}

/// How many calls an object cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectCalls {
    /// Its name.
    pub name: String,
    /// How many calls.
    pub calls: u64,
}

impl CallFinding {
    /// How many calls could go, by all of these.
    pub fn saved(findings: &[Self]) -> u64 {
        findings.iter().map(|finding| finding.saved).sum()
    }

    /// What these calls cost in tolls, as far as they have prices; `None` if none has.
    pub fn saved_tolls(findings: &[Self]) -> Option<f64> {
        let tolls = findings.iter().filter_map(|finding| finding.saved_tolls);
        tolls.reduce(|sum, tolls| sum + tolls)
    }
}

/// A request that can be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallExample {
    /// When it was answered.
    pub at: Timestamp,
    /// The namespace that it names; empty for none.
    pub namespace: String,
    /// The name that it names, or that its answer gave to the object; empty for none.
    pub name: String,
    /// The API server's audit ID; empty where it is not known.
    pub audit_id: String,
}

/// What became of a finding from one run to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingChangeKind {
    /// Only the second run has it.
    New,
    /// The second run has more such calls.
    More,
    /// The second run has fewer such calls.
    Less,
    /// Only the first run has it.
    Gone,
}

/// A finding of which two runs have different numbers of calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingChange {
    /// What became of it.
    pub change: FindingChangeKind,
    /// The finding's id in both runs.
    pub id: String,
    /// What is wrong with the calls.
    pub kind: CallFindingKind,
    /// The component.
    pub component: String,
    /// The call.
    pub call: String,
    /// The code of failed calls; empty for other kinds.
    pub code: String,
    /// Why.
    pub reason: String,
    /// Whether `a`, `b` and `difference` are per object, since both runs know how many they had.
    pub per_object: bool,
    /// Calls in the first run; 0 where it doesn't have the finding.
    pub a: f64,
    /// Calls in the second run; 0 where it doesn't have the finding.
    pub b: f64,
    /// `b` less `a`.
    pub difference: f64,
}

impl CallFindingKind {
    /// All, in their order.
    pub const ALL: [Self; 15] = [
        Self::Failure,
        Self::Conflict,
        Self::AlreadyExists,
        Self::GoneObject,
        Self::Throttled,
        Self::Expired,
        Self::NoOpWrite,
        Self::RepeatedRead,
        Self::GetOfWatched,
        Self::Retry,
        Self::HotObject,
        Self::UnboundedList,
        Self::Relist,
        Self::ShortWatch,
        Self::DeprecatedApi,
    ];

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Conflict => "conflict",
            Self::AlreadyExists => "already-exists",
            Self::GoneObject => "gone-object",
            Self::Throttled => "throttled",
            Self::Expired => "expired",
            Self::NoOpWrite => "no-op-write",
            Self::RepeatedRead => "repeated-read",
            Self::GetOfWatched => "get-of-watched",
            Self::Retry => "retry",
            Self::HotObject => "hot-object",
            Self::UnboundedList => "unbounded-list",
            Self::Relist => "relist",
            Self::ShortWatch => "short-watch",
            Self::DeprecatedApi => "deprecated-api",
        }
    }

    /// Whether its calls failed, so that its findings have a code.
    pub fn has_code(self) -> bool {
        self <= Self::Expired
    }

    /// Whether some of its calls could go.
    pub fn saves(self) -> bool {
        self <= Self::GetOfWatched
    }
}

impl fmt::Display for CallFindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_name_and_one_place_everywhere() {
        let formats = include_str!("../../docs/FORMATS.md");
        let mut place = 0;
        for kind in CallFindingKind::ALL {
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, kind.as_str());
            let row = format!("\n| `{kind}` |");
            place += formats[place..]
                .find(&row)
                .unwrap_or_else(|| panic!("{kind}"));
        }
        assert!(CallFindingKind::ALL.is_sorted());
        let coded = CallFindingKind::ALL.iter().filter(|kind| kind.has_code());
        assert_eq!(coded.count(), 6);
    }
}
