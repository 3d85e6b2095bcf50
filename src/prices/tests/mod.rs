//! Prices by measurements, costs by prices, and bills.

mod billing;
mod charging;
mod fitting;
mod saving;
