//! What calls cost an API server.
//!
//! [`fit`] makes a price list of measurements, [`charge`] says what a run's calls cost by it,
//! [`charge_findings`] what those of them that could go do, and [`bill`] what the API server took.
//! docs/PRICES.md has the model.
//!
//! Invariant: pure; a price that nothing measured is in no list, and a call without a price costs
//! nothing that is known.

mod bill;
mod charge;
mod collector;
mod fit;
mod idle;
mod measured;
mod savings;
mod served;
mod standard;
#[cfg(test)]
mod tests;

pub use bill::bill;
pub use charge::{charge, charge_audit};
pub use fit::{Fit, fit};
pub use measured::{Extra, Kind, Measured, Measurements, Size, Usage, What};
pub use savings::{all_cpu_us, charge_findings};
pub use served::Served;
pub use standard::standard;
