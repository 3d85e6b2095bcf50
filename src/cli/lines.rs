//! Output to the terminal.

use std::io;

use super::exit::Exit;

/// A reader that has seen enough (`| head`) is no failure.
pub(super) fn exit_after_writing(written: io::Result<()>) -> Exit {
    match written {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => {
            tell!("kubetoll: cannot read or write: {error}");
            Exit::Failed
        }
    }
}
