//! Words of others, made harmless for a terminal and for whoever reads them.
//!
//! Names and messages come from API servers, admin ports, logs and files. An escape sequence among
//! them could repaint a terminal, and an override of the direction of writing could show other words
//! than are there. Such characters are shown as `\u001b`, which JSON reads as the same character.

use std::borrow::Cow;

/// Text of several lines: all control characters but line ends and tabs, and what changes the
/// direction of writing, are escaped. What holds for the text of a JSON document holds for the
/// result: it is the same document.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| {
        !matches!(letter, '\n' | '\t') && acts(letter)
    })
}

/// Text that has to stay on one line.
pub fn printable_line(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_escaped(letter) {
            // All of them are in the plane of four digits.
            escaped.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            escaped.push(letter);
        }
    }
    Cow::Owned(escaped)
}

/// Whether a character does something rather than stand there: C0, DEL, C1, Unicode's line ends, and
/// its marks, embeddings, overrides and isolates of direction.
fn acts(letter: char) -> bool {
    let turns = matches!(
        letter,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    letter.is_control() || turns
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn what_acts_is_shown_and_the_rest_stays() {
        let hostile = "\x1b]0;evil\x07 \x1b[2J \u{202e}abc \u{9b}31m a\nb\tü|";
        let shown = "\\u001b]0;evil\\u0007 \\u001b[2J \\u202eabc \\u009b31m a\nb\tü|";
        assert_eq!(printable(hostile), shown);
        assert_eq!(printable_line("a\nb\r"), "a\\u000ab\\u000d");
        assert!(matches!(printable("plain \u{e4}"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn json_stays_the_same_document(text: String) {
            let document = serde_json::json!({"a": text, text.as_str(): [1, -2.5, null]});
            let pretty = serde_json::to_string_pretty(&document).unwrap();
            let shown = printable(&pretty).into_owned();
            prop_assert!(!shown.contains(|letter| letter != '\n' && acts(letter)));
            let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
            prop_assert_eq!(read, document);
        }
    }
}
