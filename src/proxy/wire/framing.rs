//! How messages are framed: what the HTTP library takes and no proxy should pass on, as far as
//! headers alone tell.

use http::{HeaderMap, Version, header};

/// What is wrong with a head, so that its message may not be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// `Content-Length` and `Transfer-Encoding`: two readers could see two bodies.
    #[error("Content-Length and Transfer-Encoding are both given")]
    TwoLengths,
    /// A line that ends with LF alone.
    #[error("a line of the head does not end with CR LF")]
    BareLineFeed,
    /// Anything but one `Transfer-Encoding: chunked`.
    #[error("the only Transfer-Encoding is chunked, given once")]
    TransferEncoding,
    /// Not exactly one `Host`, or a list.
    #[error("the request has not exactly one Host")]
    Host,
    /// Anything but one number as `Content-Length`, given once or equally.
    #[error("Content-Length is not one number")]
    Length,
    /// `#` in a target: the library drops what follows, which would name something else.
    #[error("the request target has a fragment")]
    Fragment,
}

/// What headers alone tell. Of equal lengths one is left.
pub(crate) fn check_request(version: Version, headers: &mut HeaderMap) -> Result<(), Flaw> {
    check_length(headers)?;
    if version > Version::HTTP_11 {
        return Ok(());
    }
    check_encoding(headers)?;
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_list = |host: &http::HeaderValue| host.as_bytes().iter().any(|b| b" ,\t".contains(b));
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if !is_list(host) => Ok(()),
        (None, None) if version < Version::HTTP_11 => Ok(()),
        _ => Err(Flaw::Host),
    }
}

/// What headers of a response tell. Its lengths are both there: of a response the library hides
/// none. Of equal lengths one is left.
pub(crate) fn check_response(headers: &mut HeaderMap) -> Result<(), Flaw> {
    check_length(headers)?;
    check_encoding(headers)?;
    let is_both = headers.contains_key(header::TRANSFER_ENCODING)
        && headers.contains_key(header::CONTENT_LENGTH);
    if is_both {
        Err(Flaw::TwoLengths)
    } else {
        Ok(())
    }
}

/// RFC 9112, 6.3: one number, and the same in each line. The library takes lists as well.
fn check_length(headers: &mut HeaderMap) -> Result<(), Flaw> {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else {
        return Ok(());
    };
    let length = digits(first.as_bytes()).ok_or(Flaw::Length)?;
    let mut is_alone = true;
    for line in lines {
        is_alone = false;
        if digits(line.as_bytes()) != Some(length) {
            return Err(Flaw::Length);
        }
    }
    if !is_alone {
        let first = first.clone();
        headers.insert(header::CONTENT_LENGTH, first);
    }
    Ok(())
}

/// Digits alone: no sign, no blank.
fn digits(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Flaw> {
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Flaw::TransferEncoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_and_one_chunked_are_asked_for_in_http1_only() {
        let headers = |lines: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, value.parse().unwrap());
            }
            headers
        };
        for (lines, expected) in [
            (&[("host", "p:1")][..], Ok(())),
            (&[], Err(Flaw::Host)),
            (&[("host", "a"), ("host", "a")], Err(Flaw::Host)),
            (&[("host", "a, b")], Err(Flaw::Host)),
            (&[("host", "p"), ("transfer-encoding", "Chunked")], Ok(())),
            (
                &[("host", "p"), ("transfer-encoding", "gzip, chunked")],
                Err(Flaw::TransferEncoding),
            ),
            (
                &[
                    ("host", "p"),
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
                Err(Flaw::TransferEncoding),
            ),
        ] {
            assert_eq!(
                check_request(Version::HTTP_11, &mut headers(lines)),
                expected,
                "{lines:?}"
            );
        }
        assert_eq!(check_request(Version::HTTP_10, &mut headers(&[])), Ok(()));
        assert_eq!(check_request(Version::HTTP_2, &mut headers(&[])), Ok(()));
    }

    #[test]
    fn a_length_is_one_number() {
        for (lines, expected) in [
            (&[][..], Ok(())),
            (&["2"], Ok(())),
            (&["2", "2", "02"], Ok(())),
            (&["2", "3"], Err(Flaw::Length)),
            (&["2, 2"], Err(Flaw::Length)),
            (&["2,2"], Err(Flaw::Length)),
            (&["2", ""], Err(Flaw::Length)),
            (&[""], Err(Flaw::Length)),
            (&["+2"], Err(Flaw::Length)),
            (&["18446744073709551616"], Err(Flaw::Length)),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::CONTENT_LENGTH, line.parse().unwrap());
            }
            assert_eq!(check_response(&mut headers), expected, "{lines:?}");
            assert!(expected.is_err() || headers.len() <= 1, "{headers:?}");
        }
    }
}
