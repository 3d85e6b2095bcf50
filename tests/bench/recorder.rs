//! What the lines of requests cost: how many a second the recorder takes by itself, and how much CPU
//! the proxy needs for a request while lines are kept and bodies are read, and while they aren't.
//!
//! `cargo bench --bench recorder` runs everything, `cargo bench --bench recorder -- alone` a part.
//! The calls and the sizes of their bodies are those of a run of 100 VMIs on KubeVirt's own
//! controllers. Exit code 1: a target was missed.

#![expect(
    clippy::unwrap_used,
    reason = "a program for tests says by a panic what is wrong"
)]
#![allow(unreachable_pub, reason = "the kit is public for all programs")]

use std::process::ExitCode;

use kit::program;

#[path = "recorder/alone.rs"]
mod alone;
#[path = "kit/mod.rs"]
mod kit;
#[path = "recorder/overhead.rs"]
mod overhead;

#[tokio::main]
async fn main() -> ExitCode {
    let mut ok = true;
    if program::wants("alone") {
        ok &= alone::measure();
    }
    if program::wants("overhead") {
        ok &= overhead::measure().await;
    }
    program::exit(ok)
}
