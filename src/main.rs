//! `kubetoll`: the driver.

use std::process::ExitCode;

use kubetoll::commands::{parse, run};

fn main() -> ExitCode {
    run(parse()).into()
}
