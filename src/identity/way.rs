//! The way to a server: directly, or through the proxy that a kubeconfig or the environment names,
//! by the rules of Go's programs.

use std::{fmt, net::IpAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;

use super::IdentityError;

/// Port of a SOCKS5 proxy whose URL names none.
const SOCKS_PORT: u16 = 1080;

/// How a server is reached.
#[derive(Debug, Clone, Default)]
pub enum Way {
    /// By its own address.
    #[default]
    Direct,
    /// Through a proxy.
    Through(ProxyServer),
}

/// A proxy that connects to whatever it is told to.
#[derive(Clone)]
pub struct ProxyServer {
    pub(super) kind: ProxyKind,
    /// `http://HOST:PORT`, or `https://`; without a user.
    pub(super) address: Uri,
    user: Option<(String, String)>,
}

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProxyKind {
    /// HTTP's CONNECT.
    Http,
    /// The same inside of TLS.
    Https,
    /// SOCKS, version 5; names are looked up by the proxy.
    Socks5,
}

impl Way {
    /// The way to `server`. `proxy_url` is a kubeconfig's, which comes before all else;
    /// `variable` gives a variable of the environment, and of those count `HTTPS_PROXY` (for a
    /// server without TLS `HTTP_PROXY`) and `NO_PROXY`, in capitals first.
    ///
    /// # Errors
    ///
    /// For a proxy that is none of `http://`, `https://` and `socks5://`.
    pub fn of(
        server: &Uri,
        proxy_url: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, IdentityError> {
        if let Some(url) = proxy_url {
            return ProxyServer::parse(url, "cluster.proxy-url").map(Self::Through);
        }
        let any = |names: [&'static str; 2]| {
            let set = names.into_iter().filter_map(|name| {
                let value = variable(name).filter(|value| !value.is_empty())?;
                Some((name, value))
            });
            set.into_iter().next()
        };
        let is_plain = server.scheme_str() == Some("http");
        let names = if is_plain {
            ["HTTP_PROXY", "http_proxy"]
        } else {
            ["HTTPS_PROXY", "https_proxy"]
        };
        let Some((name, url)) = any(names) else {
            return Ok(Self::Direct);
        };
        let excepted = any(["NO_PROXY", "no_proxy"]).map_or(String::new(), |(_, value)| value);
        let host = server.host().unwrap_or_default();
        let port = server.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        if is_excepted(&excepted, host, port) {
            return Ok(Self::Direct);
        }
        // Go takes a bare HOST:PORT for one that speaks HTTP.
        let url = if url.contains("://") {
            url
        } else {
            format!("http://{url}")
        };
        ProxyServer::parse(&url, name).map(Self::Through)
    }
}

impl ProxyServer {
    fn parse(url: &str, from: &'static str) -> Result<Self, IdentityError> {
        let wrong = |what| IdentityError::Proxy { from, what };
        let not_a_url = "is not the URL of a proxy";
        let uri: Uri = url.trim().parse().map_err(|_| wrong(not_a_url))?;
        let (kind, scheme) = match uri.scheme_str() {
            Some("http") => (ProxyKind::Http, "http"),
            Some("https") => (ProxyKind::Https, "https"),
            Some("socks5") => (ProxyKind::Socks5, "http"),
            _ => return Err(wrong("must begin with http://, https:// or socks5://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong(not_a_url))?;
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            (decoded(name), decoded(password))
        });
        let port = match (authority.port_u16(), kind) {
            (Some(port), _) => format!(":{port}"),
            (None, ProxyKind::Socks5) => format!(":{SOCKS_PORT}"),
            (None, _) => String::new(),
        };
        let address = format!("{scheme}://{}{port}", authority.host());
        Ok(Self {
            kind,
            address: address.parse().map_err(|_| wrong(not_a_url))?,
            user,
        })
    }

    /// `Proxy-Authorization`, where the URL names a user.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let (name, password) = self.user.as_ref()?;
        let pair = STANDARD.encode(format!("{name}:{password}"));
        HeaderValue::try_from(format!("Basic {pair}")).ok()
    }

    /// User and password.
    pub(super) fn user(&self) -> Option<&(String, String)> {
        self.user.as_ref()
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Its address, never its user.
impl fmt::Display for ProxyServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Https => "https",
            ProxyKind::Socks5 => "socks5",
        };
        let address = self.address.authority().map_or("", |it| it.as_str());
        write!(formatter, "{scheme}://{address}")
    }
}

impl fmt::Debug for ProxyServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// Whether `NO_PROXY` excepts a server, by the rules of `golang.org/x/net/http/httpproxy`.
/// Loopback addresses and `localhost` are always excepted.
fn is_excepted(no_proxy: &str, host: &str, port: u16) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host == "localhost" {
        return true;
    }
    let ip = address(host);
    if ip.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    let host = host.to_lowercase();
    let entries = no_proxy.split(',').map(|entry| entry.trim().to_lowercase());
    let mut entries = entries.filter(|entry| !entry.is_empty());
    entries.any(|entry| entry == "*" || excepts(&entry, &host, ip, port))
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

/// Whether one entry, in small letters, stands for a server.
fn excepts(entry: &str, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
    if let Ok(network) = entry.parse::<IpNet>() {
        return ip.is_some_and(|ip| network.contains(&ip));
    }
    let (name, its_port) = split_port(entry);
    let is_port = its_port.is_none_or(|text| text == port.to_string());
    if let Some(named) = address(name) {
        return ip == Some(named) && is_port;
    }
    let name = name
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(name);
    let matches = match name.strip_prefix('.') {
        Some(_) => host.ends_with(name),
        None => {
            host == name
                || host
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.ends_with('.'))
        }
    };
    !name.is_empty() && matches && is_port
}

/// `HOST:PORT` and `[IP]:PORT`; a port that is empty is none.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    let (host, port) = match entry.strip_prefix('[') {
        Some(rest) => match rest.split_once("]:") {
            Some((host, port)) => (host, port),
            None => return (entry, None),
        },
        None => match entry.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, port),
            _ => return (entry, None),
        },
    };
    (host, Some(port).filter(|port| !port.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go does with the environment: `NO_PROXY`, a server, whether the proxy is used.
    const CASES: [(&str, &str, bool); 30] = [
        ("", "https://a.example", true),
        ("", "https://localhost:6443", false),
        ("", "https://LOCALHOST:6443", true),
        ("", "https://127.0.0.1:6443", false),
        ("", "https://127.9.9.9", false),
        ("", "https://[::1]:6443", false),
        ("", "https://10.0.0.1", true),
        ("*", "https://a.example", false),
        ("x, *", "https://10.0.0.1", false),
        ("a.example", "https://a.example", false),
        ("A.Example", "https://a.example", false),
        ("a.example", "https://b.a.example", false),
        ("a.example", "https://ba.example", true),
        (".a.example", "https://a.example", true),
        (".a.example", "https://b.a.example", false),
        ("*.a.example", "https://b.a.example", false),
        ("*.a.example", "https://a.example", true),
        ("a.example:6443", "https://a.example:6443", false),
        ("a.example:6443", "https://a.example", true),
        ("a.example:443", "https://a.example", false),
        ("10.0.0.1", "https://10.0.0.1:6443", false),
        ("10.0.0.1:1", "https://10.0.0.1:6443", true),
        ("10.0.0.1:6443", "https://10.0.0.1:6443", false),
        ("10.0.0", "https://10.0.0.1", true),
        ("10.0.0.0/8", "https://10.200.0.1", false),
        ("10.0.0.0/8", "https://11.0.0.1", true),
        ("10.0.0.0/8", "https://a.example", true),
        ("fd00::/8", "https://[fd00::1]:6443", false),
        ("[fd00::1]:6443", "https://[fd00::1]:6443", false),
        (":6443,,x", "https://a.example:6443", true),
    ];

    fn way(server: &str, proxy_url: Option<&str>, set: &[(&str, &str)]) -> Result<Way, String> {
        let variable = |name: &str| {
            let found = set.iter().find(|(key, _)| *key == name)?;
            Some(found.1.to_owned())
        };
        let way = Way::of(&server.parse().unwrap(), proxy_url, variable);
        way.map_err(|error| error.to_string())
    }

    fn shown(way: &Way) -> String {
        match way {
            Way::Direct => "direct".to_owned(),
            Way::Through(proxy) => proxy.to_string(),
        }
    }

    #[test]
    fn the_environment_is_read_as_go_reads_it() {
        for (no_proxy, server, used) in CASES {
            for names in [["HTTPS_PROXY", "NO_PROXY"], ["https_proxy", "no_proxy"]] {
                let set = [(names[0], "p:1"), (names[1], no_proxy)];
                let way = shown(&way(server, None, &set).unwrap());
                let expected = if used { "http://p:1" } else { "direct" };
                assert_eq!(way, expected, "{no_proxy:?} {server}");
            }
        }
    }

    #[test]
    fn a_kubeconfigs_proxy_comes_first_and_capitals_before_small_letters() {
        let set = [
            ("HTTPS_PROXY", "https://big"),
            ("https_proxy", "small"),
            ("NO_PROXY", "10.0.0.1"),
            ("no_proxy", "*"),
            ("HTTP_PROXY", "http://plain"),
        ];
        let to = |server, url| shown(&way(server, url, &set).unwrap());
        assert_eq!(to("https://a.example", None), "https://big");
        assert_eq!(to("http://a.example", None), "http://plain");
        assert_eq!(to("https://10.0.0.1", None), "direct");
        // Neither NO_PROXY nor a loopback address is looked at.
        assert_eq!(
            to("https://127.0.0.1", Some("socks5://p")),
            "socks5://p:1080"
        );
        let user = way("https://a", Some("http://me:p%40ss@p:3128/x"), &[]).unwrap();
        assert_eq!(format!("{user:?}"), "Through(http://p:3128)");
        let Way::Through(proxy) = user else { panic!() };
        assert_eq!(proxy.authorization().unwrap(), "Basic bWU6cEBzcw==");
        let refused = way("https://a", Some("ftp://p"), &[]).unwrap_err();
        assert_eq!(
            refused,
            "cluster.proxy-url must begin with http://, https:// or socks5://"
        );
        let refused = way("https://a", None, &[("HTTPS_PROXY", "socks5h://p")]).unwrap_err();
        assert_eq!(
            refused,
            "HTTPS_PROXY must begin with http://, https:// or socks5://"
        );
    }
}
