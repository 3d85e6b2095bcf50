//! Field and label selectors, as far as k8s.io/apimachinery's `fields` and `labels` accept them.

use std::borrow::Cow;

/// One term of a field selector.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FieldTerm<'s> {
    /// The field's path, such as `metadata.name`.
    pub(super) field: &'s [u8],
    /// `=` or `==` rather than `!=`.
    pub(super) exact: bool,
    /// The unescaped value.
    pub(super) value: Cow<'s, [u8]>,
}

/// Parses a field selector; its terms come sorted as text, as `fields.ParseSelector` keeps them.
/// `None` for what it refuses.
pub(super) fn parse_fields(selector: &[u8]) -> Option<Vec<FieldTerm<'_>>> {
    let mut terms = split_terms(selector);
    terms.sort_unstable();
    terms
        .into_iter()
        .filter(|term| !term.is_empty())
        .map(parse_term)
        .collect()
}

fn split_terms(selector: &[u8]) -> Vec<&[u8]> {
    let mut escaped = false;
    selector
        .split(|&byte| {
            let separates = byte == b',' && !escaped;
            escaped = byte == b'\\' && !escaped;
            separates
        })
        .collect()
}

fn parse_term(term: &[u8]) -> Option<FieldTerm<'_>> {
    let (at, operator) = (0..term.len()).find_map(|at| {
        [&b"!="[..], b"==", b"="]
            .into_iter()
            .find(|operator| term[at..].starts_with(operator))
            .map(|operator| (at, operator))
    })?;
    Some(FieldTerm {
        field: &term[..at],
        exact: operator != b"!=",
        value: unescape_value(&term[at + operator.len()..])?,
    })
}

fn unescape_value(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let special = |byte: u8| matches!(byte, b'\\' | b',' | b'=');
    if !value.iter().any(|&byte| special(byte)) {
        return Some(Cow::Borrowed(value));
    }
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => plain.push(bytes.next().filter(|&next| special(next))?),
            b',' | b'=' => return None,
            _ => plain.push(byte),
        }
    }
    // Go walks the runes of a value that has anything to unescape, which mends bad UTF-8.
    Some(Cow::Owned(
        String::from_utf8_lossy(&plain).into_owned().into_bytes(),
    ))
}

/// Whether `labels.Parse` takes the selector.
pub(super) fn is_label_selector(selector: &[u8]) -> bool {
    LabelParser {
        tokens: scan(selector),
        position: 0,
    }
    .accepts()
}

/// The keys of a label selector: the first identifier of each of its terms.
pub(super) fn label_keys(selector: &[u8]) -> Vec<&[u8]> {
    let mut begins = true;
    let mut is_list = false;
    let mut keys = Vec::new();
    for token in scan(selector) {
        match token {
            Token::Identifier(key) if begins => {
                keys.push(key);
                begins = false;
            }
            Token::OpenParenthesis => is_list = true,
            Token::ClosedParenthesis => is_list = false,
            Token::Comma => begins = !is_list,
            Token::DoesNotExist => {}
            _ => begins = false,
        }
    }
    keys
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'s> {
    Identifier(&'s [u8]),
    In,
    NotIn,
    Equals,
    NotEquals,
    /// `<` or `>`: the value must be a number.
    Compares,
    DoesNotExist,
    Comma,
    OpenParenthesis,
    ClosedParenthesis,
    End,
}

fn scan(selector: &[u8]) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = skip_white_space(selector);
    // A NUL where a token could start ends the text; one behind a token is passed over.
    while let Some(&byte) = rest.first().filter(|&&byte| byte != 0) {
        let (token, length) = if is_symbol(byte) {
            symbol(rest)
        } else {
            word(rest)
        };
        tokens.push(token);
        rest = &rest[length..];
        rest = skip_white_space(rest.strip_prefix(b"\0").unwrap_or(rest));
    }
    tokens.push(Token::End);
    tokens
}

fn skip_white_space(text: &[u8]) -> &[u8] {
    let length = text.iter().take_while(|&&byte| is_white_space(byte));
    &text[length.count()..]
}

fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_symbol(byte: u8) -> bool {
    matches!(byte, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

fn symbol(rest: &[u8]) -> (Token<'_>, usize) {
    match rest {
        [b'=', b'=', ..] => (Token::Equals, 2),
        [b'=', ..] => (Token::Equals, 1),
        [b'!', b'=', ..] => (Token::NotEquals, 2),
        [b'!', ..] => (Token::DoesNotExist, 1),
        [b'<' | b'>', ..] => (Token::Compares, 1),
        [b',', ..] => (Token::Comma, 1),
        [b'(', ..] => (Token::OpenParenthesis, 1),
        _ => (Token::ClosedParenthesis, 1),
    }
}

fn word(rest: &[u8]) -> (Token<'_>, usize) {
    let end = rest
        .iter()
        .position(|&byte| byte == 0 || is_symbol(byte) || is_white_space(byte))
        .unwrap_or(rest.len());
    let token = match &rest[..end] {
        b"in" => Token::In,
        b"notin" => Token::NotIn,
        identifier => Token::Identifier(identifier),
    };
    (token, end)
}

/// Recursive descent over the tokens, accepting exactly what `labels.Parse` does.
struct LabelParser<'s> {
    tokens: Vec<Token<'s>>,
    position: usize,
}

impl<'s> LabelParser<'s> {
    fn accepts(mut self) -> bool {
        if self.peek_value() == Token::End {
            return true;
        }
        loop {
            if self.requirement().is_none() {
                return false;
            }
            match self.next() {
                Token::End => return true,
                Token::Comma => {}
                _ => return false,
            }
        }
    }

    fn requirement(&mut self) -> Option<()> {
        let mut token = self.next_value();
        let negated = token == Token::DoesNotExist;
        if negated {
            token = self.next_value();
        }
        let Token::Identifier(key) = token else {
            return None;
        };
        is_qualified_name(key).then_some(())?;
        if negated || matches!(self.peek_value(), Token::End | Token::Comma) {
            return Some(());
        }
        match self.next() {
            Token::In | Token::NotIn => self.values(),
            Token::Equals | Token::NotEquals => self.exact_value().map(drop),
            Token::Compares => self
                .exact_value()
                .and_then(|value| std::str::from_utf8(value).ok()?.parse::<i64>().ok())
                .map(drop),
            _ => None,
        }
    }

    fn exact_value(&mut self) -> Option<&'s [u8]> {
        let value = match self.peek_value() {
            Token::End | Token::Comma => b"",
            Token::Identifier(value) => {
                self.position += 1;
                value
            }
            _ => return None,
        };
        is_label_value(value).then_some(value)
    }

    /// `(a, b)`; an empty word between commas stands for the empty value, `()` is refused.
    fn values(&mut self) -> Option<()> {
        if self.next() != Token::OpenParenthesis || self.peek_value() == Token::ClosedParenthesis {
            return None;
        }
        loop {
            match self.next_value() {
                Token::Identifier(value) => {
                    is_label_value(value).then_some(())?;
                    match self.peek_value() {
                        Token::Comma | Token::ClosedParenthesis => {}
                        _ => return None,
                    }
                }
                Token::Comma => {}
                Token::ClosedParenthesis => return Some(()),
                _ => return None,
            }
        }
    }

    fn peek(&self) -> Token<'s> {
        self.tokens
            .get(self.position)
            .copied()
            .unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token<'s> {
        let token = self.peek();
        self.position += 1;
        token
    }

    /// Where a key or a value may stand, `in` and `notin` are words like others.
    fn peek_value(&self) -> Token<'s> {
        match self.peek() {
            Token::In => Token::Identifier(b"in"),
            Token::NotIn => Token::Identifier(b"notin"),
            token => token,
        }
    }

    fn next_value(&mut self) -> Token<'s> {
        let token = self.peek_value();
        self.position += 1;
        token
    }
}

/// `prefix/name` or `name` as label keys have it.
fn is_qualified_name(key: &[u8]) -> bool {
    let mut parts = key.split(|&byte| byte == b'/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => !name.is_empty() && is_label_value(name),
        (Some(prefix), Some(name), None) => {
            is_dns_subdomain(prefix) && !name.is_empty() && is_label_value(name)
        }
        _ => false,
    }
}

fn is_label_value(value: &[u8]) -> bool {
    let (Some(first), Some(last)) = (value.first(), value.last()) else {
        return true;
    };
    value.len() <= 63
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && value
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn is_dns_subdomain(name: &[u8]) -> bool {
    let is_edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 253
        && name.split(|&byte| byte == b'.').all(|label| {
            label.first().is_some_and(is_edge)
                && label.last().is_some_and(is_edge)
                && label.iter().all(|byte| is_edge(byte) || *byte == b'-')
        })
}
