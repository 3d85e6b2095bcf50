//! Prices by measurements, and costs by prices.

mod charging;
mod fitting;
