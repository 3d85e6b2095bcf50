//! What only a machine that does nothing else can say: CPU of other processes.

use std::env;

/// Whether `KUBETOLL_QUIET` promises such a machine. A test prints the CPU that it saw, and judges it
/// only then.
pub fn is_promised() -> bool {
    env::var_os("KUBETOLL_QUIET").is_some()
}
