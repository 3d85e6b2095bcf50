//! What a request and a watch cost in Kubetoll's proxy, which counts them, and in nginx, HAProxy
//! and Envoy, which don't: CPU and memory of each process, in the same run.
//!
//! `tests/bench/get-others` gets the others. `cargo bench --bench proxies` runs everything,
//! `cargo bench --bench proxies -- paced` a part: `saturated`, `paced`, `events`,
//! `memory`, `list`, `ready`. Only the ratios say
//! much: a machine that is slow is slow for all.

#![expect(
    clippy::unwrap_used,
    reason = "a program for tests says by a panic what is wrong"
)]
#![allow(unreachable_pub, reason = "the kit is public for all programs")]

use std::{path::Path, process::ExitCode};

use kit::program;

#[path = "proxies/compare.rs"]
mod compare;
#[path = "proxies/events.rs"]
mod events;
#[path = "kit/mod.rs"]
mod kit;
#[path = "proxies/list.rs"]
mod list;
#[path = "proxies/memory.rs"]
mod memory;
#[path = "proxies/paced.rs"]
mod paced;
#[path = "proxies/ready.rs"]
mod ready;
#[path = "proxies/requests.rs"]
mod requests;
#[path = "proxies/saturated.rs"]
mod saturated;

#[tokio::main]
async fn main() -> ExitCode {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/bin");
    if !programs.join("envoy").exists() {
        eprintln!("nginx, HAProxy and Envoy are missing: run tests/bench/get-others");
        return ExitCode::from(2);
    }
    let mut ok = true;
    if program::wants("saturated") {
        ok &= saturated::measure(&programs).await;
    }
    if program::wants("paced") {
        ok &= paced::measure(&programs).await;
    }
    if program::wants("events") {
        ok &= events::measure(&programs).await;
    }
    if program::wants("memory") {
        ok &= memory::measure(&programs).await;
    }
    if program::wants("list") {
        ok &= list::measure(&programs).await;
    }
    if program::wants("ready") {
        ok &= ready::measure(&programs).await;
    }
    program::exit(ok)
}
