//! What an attacker sends, and what comes of it: to the proxy, byte by byte or frame by frame,
//! and to what stands behind it. docs/SECURITY.md names these tests case by case.
//!
//! Sizes are small; with `KUBETOLL_ATTACK_SCALE=100` they are a hundred times larger.

mod admin;
mod credentials;
mod crowd;
mod framing;
mod h2spec;
mod hostile;
mod hpack;
mod http2;
mod identity;
mod labels;
mod leaks;
mod lengths;
mod limits;
mod targets;
mod terminal;
mod trailers;
mod unproved;
mod upgrades;
mod watches;

/// A count, times what the environment asks for.
fn scaled(count: usize) -> usize {
    let scale = std::env::var("KUBETOLL_ATTACK_SCALE").ok();
    count
        * scale.map_or(1, |scale| {
            scale.parse().expect("KUBETOLL_ATTACK_SCALE is a number")
        })
}
