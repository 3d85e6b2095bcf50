//! What the programs for large loads take as arguments, print and end with.

use std::process::ExitCode;

/// Whether this part is to run: the arguments name it, or none.
pub fn wants(part: &str) -> bool {
    let mut parts = std::env::args()
        .skip(1)
        .filter(|part| !part.starts_with('-'))
        .peekable();
    parts.peek().is_none() || parts.any(|wanted| wanted == part)
}

/// Prints a finding and whether it is as it should be.
pub fn judge(ok: bool, finding: &str) -> bool {
    println!("{} {finding}", if ok { "ok  " } else { "MISS" });
    ok
}

/// What a program ends with.
pub fn exit(ok: bool) -> ExitCode {
    if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
