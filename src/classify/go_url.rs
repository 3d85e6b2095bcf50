//! A request target as Go's net/http and net/url read it.

use std::borrow::Cow;

/// A request target, split and percent-decoded as Go does it.
///
/// The path is decoded whole before anyone splits it, so `%2F` separates segments. The query is
/// kept raw; [`Query`] walks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    path: Cow<'a, [u8]>,
    query: &'a [u8],
}

/// Why a Go server answers 400 to a request target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A byte below 0x20, or 0x7f.
    #[error("the request target has a control character")]
    ControlCharacter,
    /// Neither a path, nor `*`, nor an absolute URI.
    #[error("the request target must start with '/'")]
    NotAPath,
    /// A `%` that two hexadecimal digits don't follow.
    #[error("the path has a bad percent escape")]
    BadEscape,
}

impl<'a> Target<'a> {
    /// Parses the target of a request with `method`.
    pub fn parse(method: &str, raw: &'a [u8]) -> Result<Self, TargetError> {
        if raw.iter().any(|&byte| byte < 0x20 || byte == 0x7f) {
            return Err(TargetError::ControlCharacter);
        }
        if raw == b"*" && method != "CONNECT" {
            return Ok(Self {
                path: Cow::Borrowed(raw),
                query: b"",
            });
        }
        let rest = if method == "CONNECT" && !raw.starts_with(b"/") {
            after_authority(raw)
        } else {
            origin_form(raw).ok_or(TargetError::NotAPath)?
        };
        let (path, query) = split_once(rest, b'?');
        Ok(Self {
            path: unescape(path, Plus::Kept).ok_or(TargetError::BadEscape)?,
            query,
        })
    }

    /// The decoded path; its bytes need not be UTF-8.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The query's parameters.
    pub fn query(&self) -> Query<'_> {
        Query { raw: self.query }
    }
}

/// The parameters of a query in their order, as `url.ParseQuery` gives them with errors ignored.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    raw: &'a [u8],
}

impl<'a> Query<'a> {
    /// Go drops a whole query of more pieces than this.
    const MAX_PIECES: usize = 10_000;

    /// Decoded keys and values in the order of the query. A piece with a semicolon or with a bad
    /// escape is left out.
    pub(crate) fn parameters(self) -> impl Iterator<Item = (Cow<'a, [u8]>, Cow<'a, [u8]>)> {
        let pieces = self.raw.split(|&byte| byte == b'&');
        let too_many = pieces.clone().nth(Self::MAX_PIECES).is_some();
        pieces
            .take(if too_many { 0 } else { Self::MAX_PIECES })
            .filter(|piece| !piece.is_empty() && !piece.contains(&b';'))
            .filter_map(|piece| {
                let (key, value) = split_once(piece, b'=');
                Some((unescape(key, Plus::Space)?, unescape(value, Plus::Space)?))
            })
    }

    /// The first value of `key`.
    pub(crate) fn first(self, key: &[u8]) -> Option<Cow<'a, [u8]>> {
        self.parameters()
            .find(|(name, _)| name.as_ref() == key)
            .map(|(_, value)| value)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Kept,
    Space,
}

/// The path and query of a target, without the scheme and authority of an absolute URI.
fn origin_form(raw: &[u8]) -> Option<&[u8]> {
    if raw.starts_with(b"/") {
        return Some(raw);
    }
    let rest = &raw[scheme_length(raw)? + 1..];
    let Some(after) = rest.strip_prefix(b"//") else {
        // `scheme:/path` has a path; `scheme:opaque` has none.
        return Some(if rest.starts_with(b"/") { rest } else { b"" });
    };
    Some(after_authority(after))
}

fn after_authority(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|&byte| matches!(byte, b'/' | b'?'));
    &text[end.unwrap_or(text.len())..]
}

/// Length of `scheme` in `scheme:`, by `[A-Za-z][A-Za-z0-9+.-]*`.
fn scheme_length(raw: &[u8]) -> Option<usize> {
    let colon = raw.iter().position(|&byte| byte == b':')?;
    let (first, others) = raw[..colon].split_first()?;
    let valid = first.is_ascii_alphabetic()
        && others
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-'));
    valid.then_some(colon)
}

fn split_once(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| byte == separator) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

/// Decodes percent escapes; `None` for a bad one.
fn unescape(text: &[u8], plus: Plus) -> Option<Cow<'_, [u8]>> {
    let special = |&byte: &u8| byte == b'%' || (byte == b'+' && plus == Plus::Space);
    if !text.iter().any(special) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let (&[high, low], after) = rest.split_first_chunk::<2>()?;
                decoded.push(hex_digit(high)? << 4 | hex_digit(low)?);
                rest = after;
            }
            b'+' if plus == Plus::Space => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    Some(Cow::Owned(decoded))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}
