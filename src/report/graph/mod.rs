//! The graphs of KubeVirt's benchmark page: dots are runs, a line is the weekly average, dotted
//! lines mark releases.
//!
//! [`graphs`] says what is to be seen, from runs of a history; [`picture()`] draws one as SVG,
//! [`png()`] makes a PNG of that, [`page()`] puts all into one interactive page.

mod axis;
pub(crate) mod draw;
mod figure;
mod markers;
mod metric;
mod model;
mod page;
mod picture;
mod png;
mod scale;
#[cfg(test)]
mod tests;

pub(crate) use axis::Axis;
pub use draw::DrawError;
pub use markers::{BadMarkers, Marker, kubevirt_markers};
pub use metric::{KUBEVIRT_METRICS, Metric, SCENARIOS, scenario_title};
pub use model::{Dot, Graph, Selection, Series, Week, graphs};
pub(crate) use model::{day, including_not_valid, origin_word};
pub use page::{page, plotly_script};
pub use picture::picture;
pub use png::png;
pub(crate) use scale::Scale;
