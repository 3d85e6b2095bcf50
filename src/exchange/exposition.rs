//! Prometheus's text format, read: the page of a metrics endpoint.
//!
//! Source: Prometheus's exposition format 0.0.4. Strict, since a page that is read wrongly would
//! be a wrong count: a line that isn't as the format has it is an error.

use std::{collections::BTreeMap, str};

/// Most samples that are kept of a page.
const SAMPLES_MAX: usize = 100_000;
/// Most labels of a sample.
const LABELS_MAX: usize = 64;

/// A sample of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name of the series: the family's, or with `_bucket`, `_sum`, `_count`.
    pub name: String,
    /// Values of the labels by their names.
    pub labels: BTreeMap<String, String>,
    /// The value; it can be infinite or no number.
    pub value: f64,
}

impl Sample {
    /// A label's value, empty where there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// What is wrong with a page.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ExpositionError {
    /// A line that the format doesn't have. Its text is not repeated: it is somebody else's.
    #[error("line {line} is not of Prometheus's text format: {what}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What of the line the format doesn't have.
        what: &'static str,
    },
    /// More samples than are kept.
    #[error("more than {SAMPLES_MAX} samples")]
    TooMany,
}

/// The samples of those names that are wanted.
pub fn samples(page: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Vec<Sample>, ExpositionError> {
    let mut samples = Vec::new();
    for (at, line) in page.split(|&byte| byte == b'\n').enumerate() {
        let wrong = |what| ExpositionError::Line { line: at + 1, what };
        let line = str::from_utf8(line).map_err(|_| wrong("not UTF-8"))?;
        let line = line.trim_matches([' ', '\t', '\r']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let sample = sample(line, &wanted).map_err(wrong)?;
        samples.extend(sample);
        if samples.len() > SAMPLES_MAX {
            return Err(ExpositionError::TooMany);
        }
    }
    Ok(samples)
}

/// `name{label="value",…} value [timestamp]`
fn sample(line: &str, wanted: impl Fn(&str) -> bool) -> Result<Option<Sample>, &'static str> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':');
    let length = line.find(|letter| !is_name(letter)).unwrap_or(line.len());
    let (name, rest) = line.split_at(length);
    if name.is_empty() || name.starts_with(|letter: char| letter.is_ascii_digit()) {
        return Err("no name");
    }
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let mut numbers = rest.split_ascii_whitespace();
    let value = numbers.next().ok_or("no value")?;
    let value: f64 = value.parse().map_err(|_| "the value is no number")?;
    if let Some(time) = numbers.next() {
        time.parse::<i64>().map_err(|_| "the time is no number")?;
    }
    if numbers.next().is_some() {
        return Err("something behind the value");
    }
    let name = name.to_owned();
    Ok(wanted(&name).then_some(Sample {
        name,
        labels,
        value,
    }))
}

/// What is behind an opening brace: labels, and what follows the closing one.
fn labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str), &'static str> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((labels, behind));
        }
        let (name, behind) = rest.split_once('=').ok_or("a label without a value")?;
        let quoted = behind.trim_start().strip_prefix('"');
        let (value, behind) = quoted_value(quoted.ok_or("a label's value without quotes")?)?;
        let name = name.trim_end();
        if labels.len() == LABELS_MAX {
            return Err("too many labels");
        }
        if labels.insert(name.to_owned(), value).is_some() {
            return Err("a label twice");
        }
        rest = behind.trim_start();
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if rest.starts_with('}') => {}
            None => return Err("no comma between labels"),
        }
    }
}

/// The value up to its closing quote, and what follows that.
fn quoted_value(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match letters.next() {
                Some((_, 'n')) => '\n',
                Some((_, letter @ ('\\' | '"'))) => letter,
                _ => return Err("an escape that doesn't exist"),
            }),
            letter => value.push(letter),
        }
    }
    Err("a label's value has no end")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(page: &str) -> Result<Vec<Sample>, ExpositionError> {
        samples(page.as_bytes(), |_| true)
    }

    #[test]
    fn a_page_is_read_as_prometheus_reads_it() {
        let page = "# HELP a What \"a\" is.\n# TYPE a counter\n\
            a{code=\"<error>\",host=\"[::1]:443\"} 3\n\
            a { x = \"q\\\"b\\\\s\\nn}\" , } 1.5e3 1700000000000\r\n\
            \n  b 7\nh_bucket{le=\"+Inf\"} +Inf\nn NaN\n";
        let found = read(page).unwrap();
        let names: Vec<_> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["a", "a", "b", "h_bucket", "n"]);
        assert_eq!(found[0].label("code"), "<error>");
        assert_eq!(found[1].label("x"), "q\"b\\s\nn}");
        assert_eq!(found[1].value, 1500.0);
        assert_eq!(
            found[2],
            Sample {
                name: "b".to_owned(),
                labels: BTreeMap::new(),
                value: 7.0
            }
        );
        assert!(found[3].value.is_infinite() && found[4].value.is_nan());
        let some = samples(page.as_bytes(), |name| name == "b").unwrap();
        assert_eq!(some.len(), 1);
    }

    #[test]
    fn what_is_no_page_of_metrics_is_refused() {
        for (line, what) in [
            ("<html>", "no name"),
            ("a", "no value"),
            ("a{b=\"c\"}", "no value"),
            ("a x", "the value is no number"),
            ("a 1 x", "the time is no number"),
            ("a 1 2 3", "something behind the value"),
            ("a{b} 1", "a label without a value"),
            ("a{b=c} 1", "a label's value without quotes"),
            ("a{b=\"c} 1", "a label's value has no end"),
            ("a{b=\"\\x\"} 1", "an escape that doesn't exist"),
            ("a{b=\"c\" d=\"e\"} 1", "no comma between labels"),
            ("a{b=\"c\",b=\"d\"} 1", "a label twice"),
        ] {
            let page = format!("a 1\n{line}\n");
            assert_eq!(
                read(&page),
                Err(ExpositionError::Line { line: 2, what }),
                "{line}"
            );
        }
        let many = "a 1\n".repeat(SAMPLES_MAX + 1);
        assert_eq!(read(&many), Err(ExpositionError::TooMany));
    }

    proptest! {
        #[test]
        fn no_page_panics(page in "([a-z_]{0,3}[{]?[a-z]?=?\"?[\\\\}\",\n ]{0,4}[0-9.+eINa]{0,4} ?\n?|\\PC{0,6}){0,8}") {
            let _ = read(&page);
        }
    }
}
