//! Headers that a proxy takes off or adds: those of one hop go, those of identity are guarded.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// `X-Forwarded-For`.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Most bytes of `X-Forwarded-For` that go on, from its end: its beginning is what clients make up.
const FORWARDED_FOR_MAX: usize = 4 << 10;
/// What stands for a line that isn't text; RFC 7239 has this word for an address that nobody knows.
const UNKNOWN: &str = "unknown";

/// Headers of one hop, besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers that say how one message is framed or read: they come before a body or not at all.
const BEFORE_A_BODY: [HeaderName; 4] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TRAILER,
];

/// Names that `Connection` may not name: taking them off would change who asks for what.
const PROTECTED: [&str; 11] = [
    "audit-id",
    "authorization",
    "baggage",
    "cookie",
    "forwarded",
    "host",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-real-ip",
    "x-stream-protocol-version",
];

/// Beginnings of names that `Connection` may not name.
const PROTECTED_PREFIXES: [&str; 7] = [
    "accept",
    "content-",
    "impersonate-",
    "sec-websocket-",
    "x-forwarded-",
    "x-remote-",
    ":",
];

/// `Connection` names a header that carries identity, content or routing, or isn't text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Connection header names a header that no proxy may remove")]
pub(crate) struct ProtectedHeader;

/// What `Connection` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionHeader {
    /// Whether it has the token `upgrade`.
    pub(crate) upgrade: bool,
    names: Vec<HeaderName>,
}

impl ConnectionHeader {
    /// Reads all `Connection` lines.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, ProtectedHeader> {
        let mut connection = Self::default();
        for line in headers.get_all(header::CONNECTION) {
            let line = line.to_str().map_err(|_| ProtectedHeader)?;
            for token in line
                .split(',')
                .map(str::trim)
                .filter(|token| !token.is_empty())
            {
                connection.add(&token.to_ascii_lowercase())?;
            }
        }
        Ok(connection)
    }

    pub(crate) fn into_names(self) -> ConnectionNames {
        ConnectionNames(self.names)
    }

    fn add(&mut self, token: &str) -> Result<(), ProtectedHeader> {
        if is_protected(token) {
            return Err(ProtectedHeader);
        }
        self.upgrade |= token == "upgrade";
        if let Ok(name) = HeaderName::from_bytes(token.as_bytes()) {
            self.names.push(name);
        }
        Ok(())
    }
}

/// Whether a name, in lower case, carries identity, content or routing.
fn is_protected(name: &str) -> bool {
    // `X_Remote_User` must not slip past as something else than `X-Remote-User`.
    let spelled = name.replace('_', "-");
    PROTECTED.contains(&spelled.as_str())
        || PROTECTED_PREFIXES
            .iter()
            .any(|prefix| spelled.starts_with(prefix))
}

/// The names in `Connection`: of this hop only, also where one comes as a trailer.
#[derive(Debug, Default)]
pub(crate) struct ConnectionNames(Vec<HeaderName>);

/// Takes off a request what was meant for the proxy, and what only an authenticating proxy may
/// say; appends the client's address.
pub(crate) fn prepare_request(
    headers: &mut HeaderMap,
    connection: &ConnectionHeader,
    client: &ClientAddress,
) {
    if !connection.names.is_empty()
        || headers
            .keys()
            .any(|name| is_of_the_hop(name) || is_remote(name))
    {
        strip_request(headers, connection);
    }
    client.append_to(headers);
}

fn strip_request(headers: &mut HeaderMap, connection: &ConnectionHeader) {
    let trailers = headers
        .get_all(header::TE)
        .iter()
        .any(|line| line.as_bytes().eq_ignore_ascii_case(b"trailers"));
    strip(headers, connection);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // The proxy's server answers 100 itself once the body is wanted.
    headers.remove(header::EXPECT);
    strip_remote_identity(headers);
}

/// Takes off a response what was meant for the proxy.
pub(crate) fn prepare_response(headers: &mut HeaderMap) -> ConnectionNames {
    if !headers.keys().any(is_of_the_hop) {
        return ConnectionNames::default();
    }
    // An API server whose `Connection` can't be read has nothing there worth keeping.
    let connection = ConnectionHeader::read(headers).unwrap_or_default();
    strip(headers, &connection);
    connection.into_names()
}

/// Takes off the trailers of a request what may not come behind a body (RFC 9110, 6.5.1): what
/// belongs to one hop, frames or routes a message, or says who asks.
pub(crate) fn prepare_request_trailers(trailers: &mut HeaderMap, names: &ConnectionNames) {
    retain_trailers(trailers, names, |name| !is_protected(name.as_str()));
}

/// Takes off the trailers of a response what belongs to one hop or frames a message.
pub(crate) fn prepare_response_trailers(trailers: &mut HeaderMap, names: &ConnectionNames) {
    retain_trailers(trailers, names, |_| true);
}

fn retain_trailers(
    trailers: &mut HeaderMap,
    names: &ConnectionNames,
    may_pass: impl Fn(&HeaderName) -> bool,
) {
    let is_out_of_place = |name: &HeaderName| {
        HOP_BY_HOP.contains(name) || BEFORE_A_BODY.contains(name) || names.0.contains(name)
    };
    let taken: Vec<_> = trailers
        .keys()
        .filter(|name| is_out_of_place(name) || !may_pass(name))
        .cloned()
        .collect();
    for name in taken {
        trailers.remove(name);
    }
}

/// Whether a header says something of this hop. Most heads have none, which one look at each name
/// tells sooner than asking the map for all that there could be.
fn is_of_the_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || matches!(*name, header::CONNECTION | header::EXPECT)
}

fn strip(headers: &mut HeaderMap, connection: &ConnectionHeader) {
    headers.remove(header::CONNECTION);
    for name in HOP_BY_HOP.iter().chain(&connection.names) {
        headers.remove(name);
    }
}

fn strip_remote_identity(headers: &mut HeaderMap) {
    let names: Vec<_> = headers
        .keys()
        .filter(|name| is_remote(name))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

/// `X-Remote-*` is how an authenticating proxy names a user; here nobody may. An extension API
/// server could read `_` as `-`.
fn is_remote(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    name.len() > 9
        && name[..9]
            .iter()
            .zip(b"x-remote-")
            .all(|(&byte, &wanted)| byte == wanted || (byte == b'_' && wanted == b'-'))
}

/// The address of a client, as it is told to the API server.
pub(crate) struct ClientAddress(HeaderValue);

impl ClientAddress {
    pub(crate) fn new(client: IpAddr) -> Self {
        // Go writes an IPv4 address as such, also where it came over an IPv6 socket.
        let text = Bytes::from(client.to_canonical().to_string());
        let value = HeaderValue::from_maybe_shared(text);
        Self(value.unwrap_or_else(|_| HeaderValue::from_static(UNKNOWN)))
    }

    /// Makes one line of all that there are, with the address at its end, as Go's
    /// `httputil.ReverseProxy` does: kube-apiserver reads the first line only (`SourceIPs` in
    /// apimachinery's `util/net`).
    fn append_to(&self, headers: &mut HeaderMap) {
        let mut list = String::new();
        for line in headers.get_all(FORWARDED_FOR) {
            list.push_str(line.to_str().unwrap_or(UNKNOWN));
            list.push_str(", ");
        }
        if list.is_empty() {
            headers.insert(FORWARDED_FOR, self.0.clone());
            return;
        }
        list.push_str(self.0.to_str().unwrap_or(UNKNOWN));
        if let Some(excess) = list.len().checked_sub(FORWARDED_FOR_MAX + 1) {
            let comma = list[excess..].find(',').map_or(excess, |at| excess + at);
            list.drain(..=comma);
            list.drain(..list.len() - list.trim_start().len());
        }
        let value = HeaderValue::from_maybe_shared(Bytes::from(list));
        let value = value.unwrap_or_else(|_| HeaderValue::from_static(UNKNOWN));
        headers.insert(FORWARDED_FOR, value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn connection_may_not_name_what_carries_identity() {
        for value in [
            &b"foo, Impersonate-User "[..],
            b"impersonate-group",
            b"Authorization",
            b"close, Authorization",
            b",\tX-Remote-User",
            b"X_Remote_User",
            b"content-length",
            b"Host",
            b"Sec-WebSocket-Protocol",
            b"\xff",
        ] {
            let headers = map(&[("connection", value)]);
            assert!(ConnectionHeader::read(&headers).is_err(), "{value:?}");
        }
        let two = map(&[("connection", b""), ("connection", b"authorization")]);
        assert!(ConnectionHeader::read(&two).is_err());
    }

    #[test]
    fn hop_by_hop_and_remote_headers_go_and_all_others_stay_as_they_are() {
        let mut headers = map(&[
            ("connection", b"x-hop, close, UPGRADE"),
            ("x-hop", b"1"),
            ("keep-alive", b"1"),
            ("te", b"trailers"),
            ("x-remote-user", b"admin"),
            ("x_remote_group", b"system:masters"),
            ("impersonate-group", b"a"),
            ("impersonate-group", b"b"),
            ("x-forwarded-for", b"1.2.3.4"),
            ("authorization", b"Bearer t\xff"),
        ]);
        let connection = ConnectionHeader::read(&headers).unwrap();
        assert!(connection.upgrade);
        prepare_request(
            &mut headers,
            &connection,
            &ClientAddress::new([127, 0, 0, 1].into()),
        );
        let expected = map(&[
            ("te", b"trailers"),
            ("impersonate-group", b"a"),
            ("impersonate-group", b"b"),
            ("x-forwarded-for", b"1.2.3.4, 127.0.0.1"),
            ("authorization", b"Bearer t\xff"),
        ]);
        assert_eq!(headers, expected);
    }

    fn forwarded(lines: &[&[u8]], client: &str) -> String {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("x-forwarded-for", *line))
            .collect();
        let mut headers = map(&lines);
        ClientAddress::new(client.parse().unwrap()).append_to(&mut headers);
        assert_eq!(headers.get_all(FORWARDED_FOR).iter().count(), 1);
        headers[FORWARDED_FOR].to_str().unwrap().to_owned()
    }

    #[test]
    fn all_lines_of_addresses_become_one_with_the_client_at_its_end() {
        let client = "10.0.0.9";
        for (lines, expected) in [
            (&[][..], "10.0.0.9"),
            (&[&b"1.2.3.4"[..]], "1.2.3.4, 10.0.0.9"),
            (
                &[b"1.2.3.4", b"5.6.7.8,::1"],
                "1.2.3.4, 5.6.7.8,::1, 10.0.0.9",
            ),
            (&[b"1.2.3.4", b"5.6.7.8\xff"], "1.2.3.4, unknown, 10.0.0.9"),
            (&[b"\xff"], "unknown, 10.0.0.9"),
            (&[b""], ", 10.0.0.9"),
        ] {
            assert_eq!(forwarded(lines, client), expected);
        }
        assert_eq!(forwarded(&[], "::ffff:10.0.0.9"), "10.0.0.9");
        assert_eq!(forwarded(&[], "fd00::1"), "fd00::1");
    }

    #[test]
    fn a_list_of_addresses_has_a_largest_size_and_loses_its_beginning() {
        let many = b"1.2.3.4, ".repeat(10_000);
        let list = forwarded(&[&many, b"5.6.7.8"], "10.0.0.9");
        assert!(list.len() <= FORWARDED_FOR_MAX, "{}", list.len());
        assert!(list.len() > FORWARDED_FOR_MAX - 16, "{}", list.len());
        assert!(list.starts_with("1.2.3.4, 1.2.3.4, "), "{list:.40}");
        assert!(list.ends_with(", 5.6.7.8, 10.0.0.9"));
        let one = b"x".repeat(10_000);
        assert_eq!(forwarded(&[&one], "10.0.0.9"), "10.0.0.9");
    }

    #[test]
    fn trailers_name_neither_who_asks_nor_how_a_message_is_framed() {
        let lines: Vec<_> = [
            "x-sum",
            "x-hop",
            "connection",
            "content-length",
            "transfer-encoding",
            "trailer",
            "te",
            "upgrade",
            "expect",
            "proxy-authorization",
            "host",
            "authorization",
            "cookie",
            "impersonate-user",
            "impersonate_extra-x",
            "x-remote-user",
            "x_remote_group",
            "x-forwarded-for",
            "sec-websocket-protocol",
        ]
        .map(|name| (name, &b"1"[..]))
        .to_vec();
        let names_of_connection = || {
            let connection = ConnectionHeader::read(&map(&[("connection", b"X-Hop")]));
            connection.unwrap().into_names()
        };
        let names = |trailers: &HeaderMap| -> Vec<String> {
            let mut names: Vec<_> = trailers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        let mut trailers = map(&lines);
        prepare_request_trailers(&mut trailers, &names_of_connection());
        assert_eq!(names(&trailers), ["x-sum"]);
        let mut trailers = map(&lines);
        prepare_response_trailers(&mut trailers, &names_of_connection());
        assert_eq!(
            names(&trailers),
            [
                "authorization",
                "cookie",
                "host",
                "impersonate-user",
                "impersonate_extra-x",
                "sec-websocket-protocol",
                "x-forwarded-for",
                "x-remote-user",
                "x-sum",
                "x_remote_group"
            ]
        );
    }

    fn line() -> impl Strategy<Value = (String, Vec<u8>)> {
        let name = "(connection|te|upgrade|keep-alive|x[-_]remote[-_](user|extra-a)|x-forwarded-for|authorization|impersonate-group|[a-z][a-z_-]{0,8})";
        let tokens =
            "((close|te|x-a|upgrade|authorization|x_remote_user|[a-z]{1,3})?[ ,\t]{0,2}){0,4}";
        let value = prop_oneof![
            tokens.prop_map(String::into_bytes),
            proptest::collection::vec(prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff], 0..12),
        ];
        (name, value)
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_of_one_hop_goes_on_and_nothing_else_is_lost(
            lines in proptest::collection::vec(line(), 0..12),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in &lines {
                let name: HeaderName = name.parse().unwrap();
                headers.append(name, HeaderValue::from_bytes(value).unwrap());
            }
            let before = headers.clone();
            let Ok(connection) = ConnectionHeader::read(&headers) else {
                return Ok(());
            };
            prepare_request(&mut headers, &connection, &ClientAddress::new([127, 0, 0, 1].into()));
            for name in headers.keys() {
                let spelled = name.as_str().replace('_', "-");
                prop_assert!(!spelled.starts_with("x-remote-"), "{}", name);
                prop_assert!(*name != header::CONNECTION && *name != header::UPGRADE);
            }
            for name in ["authorization", "impersonate-group"] {
                let values = |headers: &HeaderMap| -> Vec<_> {
                    headers.get_all(name).iter().cloned().collect()
                };
                prop_assert_eq!(values(&headers), values(&before));
            }
            let forwarded: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
            prop_assert_eq!(forwarded.len(), 1);
            prop_assert!(forwarded[0].to_str().unwrap().ends_with("127.0.0.1"));
        }
    }
}
