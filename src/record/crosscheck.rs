//! What the wire saw beside what components count themselves: `kubetoll crosscheck`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The schema's name and version.
pub const CROSSCHECK_SCHEMA: &str = "kubetoll.crosscheck/1";

/// The comparison of a window of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crosscheck {
    /// `kubetoll.crosscheck/1`.
    pub schema: String,
    /// When the first readings were taken.
    pub opened: Timestamp,
    /// When the last readings were taken.
    pub closed: Timestamp,
    /// What makes the comparison worthless, such as a restart; empty if it is valid.
    pub problems: Vec<String>,
    /// Each component whose endpoints were named.
    pub components: Vec<ComponentCheck>,
    /// CPU, memory and work queues under the names that KubeVirt's report has for them.
    pub values: BTreeMap<String, f64>,
    /// The exit code that the comparison alone gives.
    pub exit_code: u8,
    /// The exit code of the command that was run, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_exit_code: Option<u8>,
}

/// A component's own counter beside the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentCheck {
    /// The component's name, such as `virt-api`.
    pub component: String,
    /// Its endpoints, without query.
    pub endpoints: Vec<String>,
    /// The name of its counter; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<String>,
    /// Each call that was seen or counted.
    pub rows: Vec<CrosscheckRow>,
}

/// A call by KubeVirt's rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrosscheckRow {
    /// Plural resource or `none`.
    pub resource: String,
    /// KubeVirt's verb or `none`.
    pub verb: String,
    /// The status code, or `<error>` where no response came.
    pub code: String,
    /// Requests on the wire, those at the window's ends included.
    pub wire: u64,
    /// Of these, requests at the ends, of which it is not known whether the component had counted
    /// them when it was read.
    pub at_the_ends: u64,
    /// Requests by the component's own counter.
    pub own: u64,
    /// `own` less `wire`; 0 where requests at the ends can explain it.
    pub difference: i64,
    /// What the difference means.
    pub finding: Finding,
    /// Why that can be; empty where nothing differs.
    pub why: String,
}

/// What a row comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    /// Both count the same.
    Equal,
    /// The component's counter misses calls that were made.
    Missed,
    /// The same, and it was said before that it would be so.
    Allowed,
    /// The component counts what was not on the wire.
    Invented,
}
