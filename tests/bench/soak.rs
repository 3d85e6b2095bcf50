//! A mixed load for minutes, while the upstream restarts and certificates change; then the books
//! must equal the upstream's records, and memory and descriptors must be where they were.
//!
//! `tests/bench/soak [MINUTES [RECORDER]]` (default 10 and 0). The load comes in rounds of a minute,
//! each with a journal, while the proxy keeps the last RECORDER requests. After each round everything
//! is closed and compared: so a fault is found in the minute in which it happened. Exit code 1:
//! something was not as it should be.

#![expect(
    clippy::unwrap_used,
    reason = "a program for tests says by a panic what is wrong"
)]
#![allow(unreachable_pub, reason = "the kit is public for all programs")]

use std::{process::ExitCode, time::Duration};

use kit::{program::exit, soak::Soak};

#[path = "kit/mod.rs"]
mod kit;

const ROUND: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    let Some((minutes, recorder)) = arguments() else {
        eprintln!("usage: tests/bench/soak [MINUTES [RECORDER]]");
        return ExitCode::from(2);
    };
    // Memory is compared with that after the first round that fills the recorder.
    let rounds = minutes.max(2);
    let mut soak = Soak::start(recorder).await;
    let mut faults = Vec::new();
    for _ in 0..rounds {
        let round = soak.round(ROUND).await;
        println!("{round}");
        let number = round.number;
        faults.extend(
            round
                .faults
                .into_iter()
                .map(|fault| format!("round {number}: {fault}")),
        );
    }
    for fault in &faults {
        println!("FAULT {fault}");
    }
    println!("{rounds} rounds, {} faults", faults.len());
    exit(faults.is_empty())
}

/// Minutes, and how many requests the proxy keeps.
fn arguments() -> Option<(u32, usize)> {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'));
    let minutes = arguments.next().map_or(Ok(10), |minutes| minutes.parse());
    let recorder = arguments.next().map_or(Ok(0), |lines| lines.parse());
    Some((minutes.ok()?, recorder.ok()?))
}
