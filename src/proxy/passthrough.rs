//! Connections that pass through as bytes, chosen by the server name that the client asks for:
//! for clients whose credential is a certificate. They are counted as connections only.

use std::time::Duration;

use rustls::server::Acceptor;
use tokio::{io::copy_bidirectional, net::TcpStream, time::sleep};

use super::{Proxy, count};

/// Longest ClientHello that is looked into; those of today have about 2 KiB.
const HELLO_MAX: usize = 16 << 10;
/// Wait for the rest of a ClientHello that came in pieces.
const HELLO_PAUSE: Duration = Duration::from_millis(5);

/// Whether the client asks for one of `names`. Nothing is taken from the stream.
pub(super) async fn is_wanted(stream: &TcpStream, names: &[Box<str>]) -> bool {
    if names.is_empty() {
        return false;
    }
    let asked = server_name(stream).await;
    asked.is_some_and(|asked| names.iter().any(|name| name.eq_ignore_ascii_case(&asked)))
}

/// The name in the ClientHello, once it is there. The caller bounds the time.
async fn server_name(stream: &TcpStream) -> Option<String> {
    let mut hello = vec![0; HELLO_MAX];
    let mut seen = 0;
    loop {
        let length = stream.peek(&mut hello).await.ok()?;
        if length == 0 {
            return None;
        }
        if length > seen {
            seen = length;
            if let Some(read) = read_hello(&hello[..length]) {
                return read;
            }
        }
        sleep(HELLO_PAUSE).await;
    }
}

/// `None` while the ClientHello is not complete; it may ask for no name, or be none at all.
fn read_hello(mut bytes: &[u8]) -> Option<Option<String>> {
    let whole = bytes.len() == HELLO_MAX;
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        if acceptor.read_tls(&mut bytes).is_err() {
            return Some(None);
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_owned);
                return Some(name);
            }
            Ok(None) => {}
            Err(_) => return Some(None),
        }
    }
    whole.then_some(None)
}

/// Copies bytes both ways until both sides have ended.
pub(super) async fn relay(proxy: &Proxy, mut client: TcpStream) {
    count(&proxy.connections.passed_through);
    let mut server = match proxy.dialer.dial_tcp().await {
        Ok(server) => server,
        Err(error) => {
            count(&proxy.connections.upstream_failed);
            tracing::warn!(%error, "no upstream connection to pass through to");
            return;
        }
    };
    count(&proxy.connections.upstream_opened);
    if let Err(error) = copy_bidirectional(&mut client, &mut server).await {
        tracing::debug!(%error, "a connection that was passed through broke");
    }
}
