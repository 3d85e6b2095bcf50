//! `kubetoll`: the driver.

use std::process::ExitCode;

use clap::Parser;
use kubetoll::commands::{DriverArgs, run};

fn main() -> ExitCode {
    run(DriverArgs::parse()).into()
}
