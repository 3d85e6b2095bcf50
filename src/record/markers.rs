//! KubeVirt's `shape.yaml`: the releases that its graphs mark.

use serde::Deserialize;

/// A file of markers, as KubeVirt's perf-report-creator reads it. Keys may be capitalised, as in
/// its README, or not, as in its own file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct MarkerFile {
    /// The vertical lines, one for each release.
    #[serde(rename = "lineShapes", alias = "LineShapes", default)]
    pub lines: Vec<MarkerLine>,
}

/// A vertical line that marks a day.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MarkerLine {
    /// The day, `YYYY-MM-DD`; what follows it is ignored.
    #[serde(alias = "X0")]
    pub x0: String,
    /// How it is drawn.
    #[serde(alias = "Line", default)]
    pub line: MarkerStyle,
    /// The text beside it.
    #[serde(alias = "Label", default)]
    pub label: MarkerLabel,
}

/// How a line is drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct MarkerStyle {
    /// A CSS colour name or `#rrggbb`.
    #[serde(alias = "Color", default)]
    pub color: String,
}

/// The text beside a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct MarkerLabel {
    /// Such as `v1.8.0` or `k8s-1.35`.
    #[serde(alias = "Text", default)]
    pub text: String,
}
