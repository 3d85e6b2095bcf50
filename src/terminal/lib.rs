//! What both programs say on a terminal, what may be logged, and how they end.

pub mod bytes;
pub mod colour;
pub mod duration;
pub mod exit;
pub mod limits;
pub mod lines;
pub mod log;
pub mod signal;

/// Says something on standard error.
#[macro_export]
macro_rules! tell {
    ($($words:tt)*) => { $crate::lines::tell(format_args!($($words)*)) };
}

/// The same on standard output, for a command that has more to do.
#[macro_export]
macro_rules! print_line {
    ($($words:tt)*) => { $crate::lines::print_line(format_args!($($words)*)) };
}
