//! Why there is no price list.

use super::meter::MeterError;

/// Why measuring ended.
#[derive(Debug, thiserror::Error)]
pub enum PricingError {
    /// The API server can't be reached, or broke off.
    #[error("the API server does not answer: {0}")]
    Api(#[from] kube::Error),
    /// It refused what is needed before anything can be measured.
    #[error("cannot make {what}: the API server answers {code}")]
    Refused {
        /// What was to be made.
        what: String,
        /// The HTTP status.
        code: u16,
    },
    /// A call can't be made, or its answer not be read.
    #[error("a call failed: {0}")]
    Call(String),
    /// What the API server takes can't be read.
    #[error(transparent)]
    Meter(#[from] MeterError),
    /// It was interrupted before anything was known.
    #[error("interrupted before three rounds were measured: no price is known")]
    TooEarly,
}
