//! What calls cost an API server.
//!
//! [`fit`] makes a price list of measurements, [`charge`] says what a run's calls cost by it, and
//! [`bill`] what the API server took.
//! docs/PRICES.md has the model.
//!
//! Invariant: pure; a price that nothing measured is in no list, and a call without a price costs
//! nothing that is known.

mod bill;
mod charge;
mod collector;
mod fit;
mod measured;
mod served;
#[cfg(test)]
mod tests;

pub use bill::bill;
pub use charge::charge;
pub use fit::{Fit, fit};
pub use measured::{Extra, Measured, Memory, Size, Usage, What};
pub use served::Served;
