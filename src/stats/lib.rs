//! Statistics over raw samples.
//!
//! Invariant: pure; every definition is named; the same samples give the same result on every
//! machine. Samples are finite numbers.

mod change_points;
mod mann_whitney;
mod mean;
mod sample;
mod shift;
mod tolerance;
pub mod week;

pub use change_points::{ChangePoint, Detection, change_points, tame};
pub use mann_whitney::{MannWhitney, mann_whitney};
pub use mean::mean_interval;
pub use sample::{constant, median, nearest_rank, robust_deviation, without_outliers};
pub use shift::{Interval, hodges_lehmann, median_difference_interval};
pub use tolerance::{Tolerance, runs_needed, tolerance};
