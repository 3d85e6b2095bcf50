//! `kubetoll-proxy`: the counting proxy.

use std::process::ExitCode;

use clap::Parser;
use proxy::command::{ProxyArgs, run};

fn main() -> ExitCode {
    run(ProxyArgs::parse()).into()
}
