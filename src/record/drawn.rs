//! What `kubetoll graph` and `kubetoll docs` have drawn.

use serde::{Deserialize, Serialize};

/// `kubetoll graph --output json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// The page with all graphs, or the document, below the folder that was asked for.
    pub page: String,
    /// The graphs.
    pub graphs: Vec<DrawnGraph>,
}

/// A graph.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawnGraph {
    /// The job, empty if the runs have none.
    pub job: String,
    /// The scenario.
    pub scenario: String,
    /// The metric.
    pub metric: String,
    /// How many runs it shows.
    pub runs: usize,
    /// The picture as SVG, below the folder that was asked for.
    pub svg: String,
    /// The picture as PNG.
    pub png: String,
}
