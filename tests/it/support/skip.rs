//! Tests that need what a machine may be without: Go, PostgreSQL, Prometheus, Chromium, root.

use std::{
    env,
    io::{self, Write},
    thread,
};

/// Says loudly that the running test is skipped because of `missing`, such as "Go is not
/// installed". With `CI` set everything must be there, and it is a failure.
pub fn because(missing: &str) {
    assert!(
        env::var_os("CI").is_none(),
        "{missing}, and with CI set no test may be skipped"
    );
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not by `eprintln!`, which the harness shows of failed tests only.
    let _ = writeln!(io::stderr(), "\n*** {test} IS SKIPPED: {missing} ***\n");
}
