//! `kubetoll`: the driver.

fn main() {}
