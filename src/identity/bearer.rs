//! Which bearer token kube-apiserver reads from a request.
//!
//! Source: `pkg/authentication/request/bearertoken` and `.../websocket` of k8s.io/apiserver 0.34.

use std::borrow::Cow;

use http::{HeaderMap, header};

/// How a browser sends a bearer token with a WebSocket.
const WEBSOCKET_PREFIX: &[u8] = b"base64url.bearer.authorization.k8s.io.";

/// The credential that a request carries in its headers.
#[derive(Debug, PartialEq, Eq)]
pub enum Presented<'h> {
    /// None that kube-apiserver reads: the request is anonymous to it.
    Nothing,
    /// A bearer token in `Authorization`. If it is not a good one the answer is 401, never that
    /// for an anonymous user.
    Bearer(Cow<'h, str>),
    /// A token among the protocols of a WebSocket, alone or beside another one: which of them was
    /// believed can't be seen from outside.
    WebSocket,
}

impl<'h> Presented<'h> {
    /// Reads the headers of a request.
    pub fn read(headers: &'h HeaderMap) -> Self {
        if has_websocket_token(headers) {
            return Self::WebSocket;
        }
        token(headers).map_or(Self::Nothing, Self::Bearer)
    }
}

/// The token in `Authorization`: what Go's `strings.TrimSpace` and `strings.SplitN(…, " ", 3)` leave
/// of the first line. Two spaces before the token make it an empty one, which counts as none; what
/// follows it is ignored.
pub fn token(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let first = headers.get(header::AUTHORIZATION)?;
    // Bytes that are not UTF-8 are no white space, and make no token that anybody has.
    match String::from_utf8_lossy(first.as_bytes()) {
        Cow::Borrowed(text) => token_of(text).map(Cow::Borrowed),
        Cow::Owned(text) => token_of(&text).map(|token| Cow::Owned(token.to_owned())),
    }
}

fn token_of(text: &str) -> Option<&str> {
    let mut parts = text.trim().splitn(3, ' ');
    let scheme = parts.next()?;
    let token = parts.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whether the protocols that a WebSocket asks for have a token among them, good or bad.
/// kube-apiserver reads it only of an upgrade to a WebSocket.
pub fn has_websocket_token(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut protocols = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    protocols.any(|protocol| {
        let token = protocol.trim_ascii().strip_prefix(WEBSOCKET_PREFIX);
        token.is_some_and(|token| !token.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                header::AUTHORIZATION,
                HeaderValue::from_bytes(line).unwrap(),
            );
        }
        match Presented::read(&headers) {
            Presented::Bearer(token) => Some(token.into_owned()),
            Presented::Nothing | Presented::WebSocket => None,
        }
    }

    #[test]
    fn the_first_line_is_read_as_kubernetes_reads_it() {
        let unicode_spaces = "\u{a0}Bearer abc\u{2003}".as_bytes();
        let cases: [(&[&[u8]], Option<&str>); 15] = [
            (&["Bearer \u{a0}".as_bytes()], None),
            (&[b"Bearer \xff"], Some("\u{fffd}")),
            (&[b"Bearer abc"], Some("abc")),
            (&[b"bEARER abc"], Some("abc")),
            (&[b" \t Bearer abc \t"], Some("abc")),
            (&[unicode_spaces], Some("abc")),
            (&[b"Bearer abc def ghi"], Some("abc")),
            (&[b"Bearer abc", b"Bearer other"], Some("abc")),
            (&[b"Bearer  abc"], None),
            (&[b"Bearer"], None),
            (&[b"Bearer "], None),
            (&[b""], None),
            (&[b"Basic YTpi", b"Bearer abc"], None),
            (&[b"Bearer\tabc"], None),
            (&[], None),
        ];
        for (lines, token) in cases {
            assert_eq!(read(lines).as_deref(), token, "{lines:?}");
        }
    }

    #[test]
    fn a_token_of_a_websocket_hides_which_credential_was_believed() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::AUTHORIZATION,
            HeaderValue::from_static("Bearer abc"),
        );
        let protocols = "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.dA";
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocols.parse().unwrap());
        assert_eq!(Presented::read(&headers), Presented::WebSocket);
    }
}
