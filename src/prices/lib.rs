//! What calls cost an API server.
//!
//! [`fit`] makes a price list of measurements, and [`charge`] says what a run's calls cost by it.
//! docs/PRICES.md has the model.
//!
//! Invariant: pure; a price that nothing measured is in no list, and a call without a price costs
//! nothing that is known.

mod charge;
mod collector;
mod fit;
mod measured;
#[cfg(test)]
mod tests;

pub use charge::charge;
pub use fit::{Fit, fit};
pub use measured::{Extra, Measured, Memory, Size, Usage, What};
