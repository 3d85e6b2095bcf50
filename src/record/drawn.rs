//! What `kubetoll graph` and `kubetoll docs` have drawn.

use serde::{Deserialize, Serialize};

use super::is_default;

/// `kubetoll graph --output json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// The page with all graphs, or the document, below the folder that was asked for.
    pub page: String,
    /// One for each metric of each job and scenario, in the order of the page.
    pub graphs: Vec<DrawnGraph>,
}

/// A graph: what it shows, and its two pictures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawnGraph {
    /// The job, empty if the runs have none.
    pub job: String,
    /// `vmi`, `vm`, `instancetype`, or what `measure` was told.
    pub scenario: String,
    /// The metric's name, such as `PATCH-pods-count`.
    pub metric: String,
    /// How many runs it shows.
    pub runs: usize,
    /// How many of them are not valid and were taken in because that was asked for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub not_valid: usize,
    /// The picture as SVG, below the folder that was asked for.
    pub svg: String,
    /// The picture as PNG, below the same folder.
    pub png: String,
}
