//! Percent-decoding of paths and query parameters.

/// The query of a request; the first of several values counts, as in Kubernetes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Pieces that do not decode are dropped, as Go does.
    pub(crate) fn parse(raw: &str) -> Self {
        let pieces = raw
            .split('&')
            .filter(|piece| !piece.is_empty() && !piece.contains(';'));
        Self(pieces.filter_map(parse_pair).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// An absent parameter reads as empty.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// Kubernetes's booleans: present and neither `0` nor `false`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A number; `Err` holds the text that is none.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, String> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| text.to_owned()),
        }
    }
}

fn parse_pair(piece: &str) -> Option<(String, String)> {
    let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
    Some((
        decode(&key.replace('+', " "))?,
        decode(&value.replace('+', " "))?,
    ))
}

/// Resolves `%xx`; `None` if an escape is broken or the result is not UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            bytes.push(hex(rest.next()?)? * 16 + hex(rest.next()?)?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
