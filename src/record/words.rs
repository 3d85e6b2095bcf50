//! Numbers in sentences.

/// `1 run`, `2 runs`, `1,328 runs`: a number with its noun, whose plural ends in an s.
pub fn number_of(count: u64, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {noun}{s}", grouped(count))
}

/// `12,345`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        let runs = [0, 1, 2, 1328].map(|count| number_of(count, "run"));
        assert_eq!(runs, ["0 runs", "1 run", "2 runs", "1,328 runs"]);
    }
}
