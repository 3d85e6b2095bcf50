//! Whole lines of what our programs print: that the start of a line is right says nothing of what
//! comes after it.

/// Some line of `text` is `wanted`, in which each `…` stands for what differs from run to run, such
/// as a time, a port or a name that is made up.
#[track_caller]
pub fn assert_line(text: &str, wanted: &str) {
    assert!(
        text.lines().any(|line| is_line(line, wanted)),
        "{wanted:?} is no line of:\n{text}"
    );
}

fn is_line(line: &str, wanted: &str) -> bool {
    let mut parts = wanted.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(end) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(end)
}

#[test]
fn a_line_is_compared_as_a_whole() {
    assert_line("a\nkept as run-1 in b\n", "kept as run-… in b");
    for wanted in [
        "kept as run-1 in",
        "ept as run-1 in b",
        "kept as …in c",
        "b…",
        "…1 in b in b",
    ] {
        assert!(!is_line("kept as run-1 in b", wanted), "{wanted}");
    }
}
