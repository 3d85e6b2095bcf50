//! What a request and a watch cost in Kubetoll's proxy, which counts them, and in nginx, HAProxy
//! and Envoy, which don't: CPU and memory of each process, in the same run.
//!
//! Beside them stand two forwarders that do nothing but forward, of the libraries that Kubetoll's
//! proxy is made of: what those take is the floor. They are no proxies that somebody could use, and
//! what ours takes is not judged by them.
//!
//! `tests/bench/get-others` gets the others. `cargo bench --bench proxies` runs everything,
//! `cargo bench --bench proxies -- paced` a part: `saturated`, `paced`, `events`, `memory`, `list`,
//! `ready`. `KUBETOLL_BENCH_ONLY=nginx,HAProxy` leaves out who is not named, and
//! `KUBETOLL_PROXY_BEFORE=FILE` adds another build of Kubetoll's proxy. Only the ratios say much: a
//! machine that is slow is slow for all.

#![expect(
    clippy::unwrap_used,
    reason = "a program for tests says by a panic what is wrong"
)]
#![allow(unreachable_pub, reason = "the kit is public for all programs")]

use std::{path::Path, process::ExitCode};

use kit::{contender::BARE, program};

#[path = "bare/mod.rs"]
mod bare;
#[path = "proxies/compare.rs"]
mod compare;
#[path = "proxies/events.rs"]
mod events;
#[path = "proxies/indexing.rs"]
mod indexing;
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

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((first, arguments)) if first == BARE => bare::run(arguments),
        _ => measure(),
    }
}

#[tokio::main]
async fn measure() -> ExitCode {
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
