//! Colours of a report on a terminal.

use std::{env, ffi::OsStr, io::IsTerminal};

const BOLD: &str = "\u{1b}[1m";
const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[1;31m";
const YELLOW: &str = "\u{1b}[33m";
const END: &str = "\u{1b}[0m";

/// First words of lines that say that something is not as it should be.
const BAD: [&str; 5] = [
    "FAILED ",
    "EXCEEDED ",
    "MISSING ",
    "UNKNOWN ",
    "THE COUNTS ARE NOT VALID",
];
/// What bars of a report are drawn with, and the colour of each.
const MARKS: [(char, &str); 5] = [
    ('█', "\u{1b}[34m"),
    ('▓', "\u{1b}[36m"),
    ('▒', "\u{1b}[33m"),
    ('░', "\u{1b}[35m"),
    ('▚', "\u{1b}[32m"),
];
/// Last word of a row of calls that did nothing.
const WASTED: &str = "wasted";

/// Whether what is written there is to be coloured: on a terminal that knows colours, unless
/// NO_COLOR forbids it (<https://no-color.org>).
pub fn is_wanted(stream: &impl IsTerminal) -> bool {
    let (no_color, term) = (env::var_os("NO_COLOR"), env::var_os("TERM"));
    allows(no_color.as_deref(), term.as_deref()) && stream.is_terminal()
}

fn allows(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

/// A report with its titles in bold, and with colours for verdicts and for what was wasted. Its lines
/// are its own: what others named is in the middle of them.
pub fn report(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let (words, end) = match line.strip_suffix('\n') {
            Some(words) => (words, "\n"),
            None => (line, ""),
        };
        format!("{}{end}", coloured(words))
    });
    lines.collect()
}

fn coloured(line: &str) -> String {
    let words = line.trim_start();
    let is_row = line.len() > words.len();
    if BAD.iter().any(|bad| words.starts_with(bad)) {
        return format!("{RED}{line}{END}");
    }
    if let Some(rest) = words.strip_prefix("ok ").filter(|_| is_row) {
        let indent = &line[..line.len() - words.len()];
        return format!("{indent}{GREEN}ok{END} {rest}");
    }
    if is_row && (line.ends_with(WASTED) || line.ends_with("wasted, assumed")) {
        return format!("{YELLOW}{line}{END}");
    }
    if is_row && words.starts_with(MARKS[0].0) {
        return drawn(line);
    }
    if is_row || line.is_empty() {
        return line.to_owned();
    }
    format!("{BOLD}{line}{END}")
}

/// A bar, or its legend: each mark in its colour.
fn drawn(line: &str) -> String {
    let colour = |letter: char| {
        let mark = MARKS.iter().find(|(mark, _)| *mark == letter);
        mark.map_or("", |(_, colour)| colour)
    };
    let (mut text, mut last) = (String::new(), "");
    for letter in line.chars() {
        let next = colour(letter);
        if next != last && !last.is_empty() {
            text.push_str(END);
        }
        if next != last {
            text.push_str(next);
        }
        text.push(letter);
        last = next;
    }
    if !last.is_empty() {
        text.push_str(END);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_a_dumb_terminal_have_none() {
        let os = |text: &'static str| Some(OsStr::new(text));
        assert!(allows(None, None) && allows(os(""), os("xterm")));
        assert!(!allows(os("1"), os("xterm")) && !allows(None, os("dumb")));
    }

    #[test]
    fn a_line_is_coloured_by_what_it_says_and_its_words_stay() {
        let text = "Calls\n  a  200\n  a  404  wasted\n\n  ok      all\n  FAILED  one\n  ██▓·\n";
        let coloured = report(text);
        assert_eq!(
            coloured,
            "\u{1b}[1mCalls\u{1b}[0m\n  a  200\n\u{1b}[33m  a  404  wasted\u{1b}[0m\n\n  \
             \u{1b}[32mok\u{1b}[0m      all\n\u{1b}[1;31m  FAILED  one\u{1b}[0m\n\
             \u{20} \u{1b}[34m██\u{1b}[0m\u{1b}[36m▓\u{1b}[0m·\n"
        );
    }
}
