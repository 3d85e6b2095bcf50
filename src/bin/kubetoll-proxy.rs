//! `kubetoll-proxy`: the counting proxy.

use std::process::ExitCode;

use clap::Parser;
use kubetoll::cli::proxy::{ProxyArgs, run};

fn main() -> ExitCode {
    run(ProxyArgs::parse()).into()
}
