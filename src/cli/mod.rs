//! What was typed, and its resolution into what is meant.

/// Says something on standard error. Whoever reads it may be gone, as in `2>&1 | head`: that must
/// end nothing, or a run would leave its objects behind.
macro_rules! tell {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

/// The same on standard output, for a command that has more to do.
macro_rules! print_line {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

pub mod driver;
mod duration;
pub mod exit;
mod lines;
mod log;
mod progress;
pub mod proxy;
