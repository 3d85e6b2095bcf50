//! Output to the terminal. What others named or said is harmless there.

use std::{
    fmt,
    io::{self, Write as _},
};

use record::{printable, printable_line};

use crate::{exit::Exit, tell};

/// Says something on standard error. Whoever reads it may be gone, as in `2>&1 | head`: that must
/// end nothing, or a run would leave its objects behind.
pub fn tell(words: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", paragraph(&words.to_string()));
}

/// The same for a report, whose lines are its own.
pub fn tell_report(text: &str) {
    let _ = io::stderr().write_all(printable(text).as_bytes());
}

/// Says something on standard output, for a command that has more to do.
pub fn print_line(words: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{}", paragraph(&words.to_string()));
}

/// Prints a report or a document on standard output.
pub fn print(text: &str) -> Exit {
    exit_after_writing(io::stdout().write_all(printable(text).as_bytes()))
}

/// A reader that has seen enough (`| head`) is no failure.
pub fn exit_after_writing(written: io::Result<()>) -> Exit {
    match written {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => {
            tell!("kubetoll: cannot read or write: {error}");
            Exit::Failed
        }
    }
}

/// Words of which the first line alone begins a line: of the others only those stay apart that
/// can't be taken for one, being indented or items of a list.
fn paragraph(words: &str) -> String {
    let mut lines = words.split('\n');
    let mut text = printable_line(lines.next().unwrap_or_default()).into_owned();
    for line in lines {
        let stays = line.is_empty() || line.starts_with(' ') || line.starts_with("- ");
        text.push_str(if stays { "\n" } else { "\\u000a" });
        text.push_str(&printable(line));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_begins_a_line() {
        assert_eq!(
            paragraph("a\nkubetoll: all is well"),
            "a\\u000akubetoll: all is well"
        );
        let rules = "you may not:\n- verbs: [list]\n  resources: [pods]";
        assert_eq!(paragraph(rules), rules);
        assert_eq!(paragraph("\x1b[2J\u{202e}"), "\\u001b[2J\\u202e");
    }
}
