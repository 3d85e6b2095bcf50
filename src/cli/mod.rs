//! What was typed, and its resolution into what is meant.

/// Says something on standard error.
macro_rules! tell {
    ($($words:tt)*) => { $crate::cli::lines::tell(format_args!($($words)*)) };
}

/// The same on standard output, for a command that has more to do.
macro_rules! print_line {
    ($($words:tt)*) => { $crate::cli::lines::print_line(format_args!($($words)*)) };
}

pub mod driver;
mod duration;
pub mod exit;
mod lines;
mod log;
mod progress;
pub mod proxy;
