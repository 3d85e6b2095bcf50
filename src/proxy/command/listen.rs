//! Where the proxy listens: `HOST:PORT`, or `:PORT` for all addresses of the machine.

use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

/// Waiting connections of a listener.
const BACKLOG: u32 = 1024;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListenAddress {
    text: String,
    /// The first one that this machine has is used.
    candidates: Vec<SocketAddr>,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write HOST:PORT, such as 127.0.0.1:6443, [::1]:6443 or localhost:6443, or :PORT \
                    for all addresses";
        let (host, port) = text.rsplit_once(':').ok_or(form)?;
        let port: u16 = port.parse().map_err(|_| form)?;
        let candidates = if host.is_empty() {
            vec![
                (Ipv6Addr::UNSPECIFIED, port).into(),
                (Ipv4Addr::UNSPECIFIED, port).into(),
            ]
        } else if let Ok(address) = text.parse() {
            vec![address]
        } else if host.contains([':', '[', ']']) {
            return Err(form.to_owned());
        } else {
            resolve(host, port)?
        };
        Ok(Self {
            text: text.to_owned(),
            candidates,
        })
    }
}

/// The addresses of a name, those of IPv4 first, as Go has it.
fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let resolved = (host, port).to_socket_addrs();
    let resolved = resolved.map_err(|error| format!("{host} has no address: {error}"))?;
    let mut addresses: Vec<SocketAddr> = resolved.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    if addresses.is_empty() {
        return Err(format!("{host} has no address"));
    }
    Ok(addresses)
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl ListenAddress {
    /// Whether only this machine reaches it.
    pub(super) fn is_loopback(&self) -> bool {
        let mut ips = self.candidates.iter().map(|one| one.ip().to_canonical());
        ips.all(|ip| ip.is_loopback())
    }

    /// Listens there. A name's next address is taken only where the machine does not have the one
    /// before.
    pub(super) fn bind(&self) -> io::Result<TcpListener> {
        let mut last = None;
        for address in &self.candidates {
            match bind(*address, self.text.starts_with(':')) {
                Ok(listener) => return Ok(listener),
                Err(error) if is_not_here(&error) => last = Some(error),
                Err(error) => return Err(self.failed(&error)),
            }
        }
        let nothing = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        Err(self.failed(&last.unwrap_or_else(nothing)))
    }

    fn failed(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("cannot listen on {self}: {error}"))
    }
}

/// Whether the machine has no such address, or none of its kind.
fn is_not_here(error: &io::Error) -> bool {
    let unsupported = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(unsupported)
}

fn bind(address: SocketAddr, takes_both: bool) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    if takes_both && address.is_ipv6() {
        SockRef::from(&socket).set_only_v6(false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ListenAddress, String> {
        text.parse()
    }

    #[test]
    fn an_address_is_a_host_and_a_port_and_no_host_means_all_addresses() {
        for (text, is_loopback) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("localhost:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            (":1", false),
            (":0", false),
        ] {
            let address = parse(text).unwrap();
            assert_eq!(address.is_loopback(), is_loopback, "{text}");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_told_with_what_is_one() {
        let form = "write HOST:PORT, such as 127.0.0.1:6443, [::1]:6443 or localhost:6443, or :PORT \
                    for all addresses";
        for text in [
            "",
            "localhost",
            "6443",
            ":",
            "::1",
            "::1:1",
            "[::1]",
            "a:b:1",
            "h:99999",
        ] {
            assert_eq!(parse(text), Err(form.to_owned()), "{text}");
        }
        let unknown = parse("no-such-host.invalid:1").unwrap_err();
        assert!(
            unknown.starts_with("no-such-host.invalid has no address"),
            "{unknown}"
        );
    }

    #[tokio::test]
    async fn all_addresses_are_those_of_both_kinds() {
        let listener = parse(":0").unwrap().bind().unwrap();
        let port = listener.local_addr().unwrap().port();
        for own in ["127.0.0.1", "::1"] {
            let has = std::net::TcpListener::bind((own, 0)).is_ok();
            let reached = std::net::TcpStream::connect((own, port)).is_ok();
            assert_eq!(reached, has, "{own}");
        }
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_told_by_the_address_as_it_was_given() {
        let first = parse("localhost:0").unwrap().bind().unwrap();
        let text = format!("localhost:{}", first.local_addr().unwrap().port());
        let error = parse(&text).unwrap().bind().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot listen on {text}: ")),
            "{error}"
        );
    }
}
