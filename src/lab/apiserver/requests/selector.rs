//! Label selectors and field selectors.

use std::collections::BTreeMap;

/// One requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    Above(String, i64),
    Below(String, i64),
}

/// All requirements must hold; none at all selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Requirement>);

impl LabelSelector {
    /// `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`. The error says what could not be read.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        split_outside_parentheses(text)
            .into_iter()
            .map(str::trim)
            .filter(|term| !term.is_empty())
            .map(requirement)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| holds(requirement, labels))
    }
}

fn holds(requirement: &Requirement, labels: &BTreeMap<String, String>) -> bool {
    let number = |key| labels.get(key).and_then(|value| value.parse::<i64>().ok());
    match requirement {
        Requirement::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
        Requirement::NotIn(key, values) => {
            labels.get(key).is_none_or(|value| !values.contains(value))
        }
        Requirement::Exists(key) => labels.contains_key(key),
        Requirement::Absent(key) => !labels.contains_key(key),
        Requirement::Above(key, bound) => number(key).is_some_and(|value| value > *bound),
        Requirement::Below(key, bound) => number(key).is_some_and(|value| value < *bound),
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut depth) = (vec![], 0, 0_usize);
    for (at, symbol) in text.char_indices() {
        match symbol {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn requirement(term: &str) -> Result<Requirement, String> {
    if let Some(rest) = term.strip_suffix(')') {
        return set_requirement(term, rest);
    }
    if let Some((name, value)) = term.split_once("!=") {
        return Ok(Requirement::NotIn(key(name)?, vec![label_value(value)?]));
    }
    if let Some((name, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Ok(Requirement::In(key(name)?, vec![label_value(value)?]));
    }
    if let Some((name, value)) = term.split_once('>') {
        return Ok(Requirement::Above(key(name)?, bound(value)?));
    }
    if let Some((name, value)) = term.split_once('<') {
        return Ok(Requirement::Below(key(name)?, bound(value)?));
    }
    match term.strip_prefix('!') {
        Some(name) => Ok(Requirement::Absent(key(name)?)),
        None => Ok(Requirement::Exists(key(term)?)),
    }
}

fn set_requirement(term: &str, open: &str) -> Result<Requirement, String> {
    let unreadable =
        || format!("unable to parse requirement: found '{term}', expected: 'in' or 'notin'");
    let (head, values) = open.split_once('(').ok_or_else(unreadable)?;
    let values = values
        .split(',')
        .map(label_value)
        .collect::<Result<_, _>>()?;
    let (name, operator) = head
        .trim()
        .split_once(char::is_whitespace)
        .ok_or_else(unreadable)?;
    match operator.trim() {
        "in" => Ok(Requirement::In(key(name)?, values)),
        "notin" => Ok(Requirement::NotIn(key(name)?, values)),
        _ => Err(unreadable()),
    }
}

fn key(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (prefix, name) = text.split_once('/').unwrap_or(("prefix", text));
    if !prefix.is_empty() && !name.is_empty() && label_text(name) && label_text(prefix) {
        return Ok(text.to_owned());
    }
    if let Some((_, rest)) = text.split_once(char::is_whitespace) {
        let found = rest.split_whitespace().next().unwrap_or_default();
        return Err(format!(
            "unable to parse requirement: found '{found}', expected: in, notin, =, ==, !=, gt, lt"
        ));
    }
    Err(format!(
        "unable to parse requirement: key: Invalid value: \"{text}\""
    ))
}

fn label_value(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.len() <= 63 && label_text(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "unable to parse requirement: values: Invalid value: \"{text}\""
    ))
}

fn label_text(text: &str) -> bool {
    text.chars()
        .all(|symbol| symbol.is_ascii_alphanumeric() || "-_.".contains(symbol))
        && !text.starts_with(['-', '_', '.'])
        && !text.ends_with(['-', '_', '.'])
}

fn bound(text: &str) -> Result<i64, String> {
    text.trim()
        .parse()
        .map_err(|_| "for 'Gt', 'Lt' operators, the value must be an integer".to_owned())
}

/// One term of a field selector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Term {
    field: String,
    equal: bool,
    value: String,
}

/// All terms must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<Term>);

impl FieldSelector {
    /// `a.b=c,d!=e`; `\` escapes `,`, `=` and itself. The error says what could not be read.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut terms = split_unescaped(text)
            .into_iter()
            .filter(|term| !term.is_empty())
            .map(term)
            .collect::<Result<Vec<_>, _>>()?;
        terms.sort();
        Ok(Self(terms))
    }

    /// The value that `field` must have, if a term says so.
    pub(crate) fn exact(&self, field: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|term| term.equal && term.field == field)
            .map(|term| term.value.as_str())
    }

    /// The fields that are asked for.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|term| term.field.as_str())
    }

    /// `read` gives the value of a field, empty where the object has none.
    pub(crate) fn matches<'a>(&self, read: impl Fn(&str) -> &'a str) -> bool {
        self.0
            .iter()
            .all(|term| (read(&term.field) == term.value) == term.equal)
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (vec![], 0, false);
    for (at, symbol) in text.char_indices() {
        if symbol == ',' && !escaped {
            terms.push(&text[start..at]);
            start = at + 1;
        }
        escaped = symbol == '\\' && !escaped;
    }
    terms.push(&text[start..]);
    terms
}

fn term(text: &str) -> Result<Term, String> {
    let unreadable = || format!("invalid selector: '{text}'; can't understand '{text}'");
    let at = text.find(['=', '!']).ok_or_else(unreadable)?;
    let (field, rest) = text.split_at(at);
    let (equal, value) = match (
        rest.strip_prefix("!="),
        rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')),
    ) {
        (Some(value), _) => (false, value),
        (None, Some(value)) => (true, value),
        (None, None) => return Err(unreadable()),
    };
    let value = unescape(value).ok_or_else(unreadable)?;
    Ok(Term {
        field: field.to_owned(),
        equal,
        value,
    })
}

/// `None` for an unescaped `=`, an unknown escape or a `\` at the end.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut symbols = text.chars();
    while let Some(symbol) = symbols.next() {
        match symbol {
            '\\' => plain.push(
                symbols
                    .next()
                    .filter(|escaped| matches!(escaped, '\\' | ',' | '='))?,
            ),
            '=' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}
