//! Who may ask the admin port.

use std::net::{IpAddr, Ipv6Addr};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderMap, Request, header, uri::Authority};

use super::state::Admin;
use record::ADMIN_TOKEN_HEADER;

/// By what browsers tell a server which page makes a request.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Whether a request names this machine as its server: one `Host`, or more and an absolute
/// target, all of them `localhost` or a loopback address. A page of the web can give a name of
/// its own this machine's address, but not send another name.
pub(super) fn names_loopback<B>(request: &Request<B>) -> bool {
    let in_headers = request.headers().get_all(header::HOST).iter();
    let in_headers = in_headers.map(|host| Authority::try_from(host.as_bytes()).ok());
    let in_target = request.uri().authority().cloned().map(Some);
    let mut hosts = in_headers.chain(in_target).peekable();
    hosts.peek().is_some() && hosts.all(|host| host.is_some_and(|host| is_loopback(&host)))
}

fn is_loopback(authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let address = match in_brackets {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::from).ok(),
        None => host.parse().ok(),
    };
    host.eq_ignore_ascii_case("localhost")
        || address.is_some_and(|address| address.to_canonical().is_loopback())
}

/// Whether a browser makes a request for a page of the web, and not for who typed its address.
pub(super) fn is_made_by_a_page(headers: &HeaderMap) -> bool {
    let site = headers.get(SEC_FETCH_SITE);
    headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site != "none")
}

impl Admin {
    /// Whether a request has the token, where there is one.
    pub(super) fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &*self.token.load() else {
            return true;
        };
        let presented = [header::AUTHORIZATION.as_str(), ADMIN_TOKEN_HEADER];
        let mut presented = presented
            .into_iter()
            .filter_map(|name| headers.get(name)?.as_bytes().strip_prefix(b"Bearer "));
        presented.any(|presented| verify_slices_are_equal(presented, token).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_served(target: &str, hosts: &[&[u8]]) -> bool {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        names_loopback(&request.body(()).unwrap())
    }

    #[test]
    fn a_loopback_port_has_loopback_names_only() {
        for host in [
            "localhost",
            "LocalHost:16444",
            "127.0.0.1",
            "127.0.0.1:1",
            "127.255.0.9:80",
            "[::1]",
            "[::1]:16444",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_served("/snapshot", &[host.as_bytes()]), "{host}");
            let target = format!("http://{host}/snapshot");
            assert!(is_served(&target, &[host.as_bytes()]), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:16444",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost.",
            "10.0.0.1:16444",
            "0.0.0.0",
            "[::]",
            "::1",
            "[127.0.0.1]",
            "127.1",
            "2130706433",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost, evil.example",
            "localhost/",
            "\u{ff}",
        ] {
            assert!(!is_served("/snapshot", &[host.as_bytes()]), "{host}");
        }
    }

    #[test]
    fn every_name_of_a_request_counts() {
        assert!(!is_served("/", &[]));
        assert!(!is_served("/", &[b"localhost", b"evil.example"]));
        assert!(!is_served("http://evil.example/", &[b"localhost"]));
        assert!(!is_served("http://localhost/", &[b"evil.example"]));
        assert!(is_served("http://localhost/", &[b"127.0.0.1"]));
    }

    #[test]
    fn browsers_tell_whose_request_it_is() {
        let made_by_a_page = |name: &'static str, value: &str| {
            let headers = HeaderMap::from_iter([(
                header::HeaderName::from_static(name),
                value.parse().unwrap(),
            )]);
            is_made_by_a_page(&headers)
        };
        for site in ["cross-site", "same-site", "same-origin", "else"] {
            assert!(made_by_a_page("sec-fetch-site", site), "{site}");
        }
        assert!(made_by_a_page("origin", "null"));
        assert!(!made_by_a_page("sec-fetch-site", "none"));
        assert!(!made_by_a_page("user-agent", "curl"));
    }
}
