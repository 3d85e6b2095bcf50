//! `kubetoll-proxy`: the counting proxy.

fn main() {}
