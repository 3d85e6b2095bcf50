//! Proxies that connect to whatever they are told to: CONNECT, the same inside of TLS, and SOCKS5.
//! They know no names: every one is this machine. What they were asked for is kept.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use identity::mint::Authority;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// What proxies were asked for: `KIND HOST:PORT USER`.
pub type Asked = Arc<Mutex<Vec<String>>>;

/// What a proxy speaks.
#[derive(Clone)]
enum Kind {
    Connect,
    ConnectTls(TlsAcceptor),
    Socks5,
}

/// Proxies of all kinds, on ports of the loopback address.
pub struct Tunnels {
    pub connect: u16,
    pub connect_tls: u16,
    pub socks5: u16,
    asked: Asked,
}

impl Tunnels {
    /// Starts them; the one that speaks TLS has a certificate of `authority` for `names`.
    pub async fn start(authority: &Authority, names: &[&str]) -> Self {
        let asked = Asked::default();
        let acceptor = TlsAcceptor::from(Arc::new(server_config(authority, names)));
        Self {
            connect: serve(Kind::Connect, &asked).await,
            connect_tls: serve(Kind::ConnectTls(acceptor), &asked).await,
            socks5: serve(Kind::Socks5, &asked).await,
            asked,
        }
    }

    /// What was asked for since the last time, each once, in order.
    pub fn take(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked.dedup();
        asked
    }
}

/// TLS for HTTP/1.1, without ALPN.
pub fn server_config(authority: &Authority, names: &[&str]) -> ServerConfig {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let leaf = authority.serving("server", &names).unwrap();
    ServerConfig::builder_with_provider(identity::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.certificate()], leaf.key())
        .unwrap()
}

async fn serve(kind: Kind, asked: &Asked) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::clone(asked);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (kind, asked) = (kind.clone(), Arc::clone(&asked));
            tokio::spawn(async move {
                match kind {
                    Kind::Connect => connect("http", client, asked).await,
                    Kind::ConnectTls(acceptor) => {
                        if let Ok(client) = acceptor.accept(client).await {
                            connect("https", client, asked).await;
                        }
                    }
                    Kind::Socks5 => {
                        let _ = socks5(client, asked).await;
                    }
                }
            });
        }
    });
    port
}

async fn connect(kind: &str, mut client: impl AsyncRead + AsyncWrite + Unpin, asked: Asked) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    let user = head
        .split("Proxy-Authorization: Basic ")
        .nth(1)
        .map_or(String::new(), |rest| {
            let pair = STANDARD.decode(rest.split("\r\n").next().unwrap()).unwrap();
            String::from_utf8(pair).unwrap()
        });
    asked
        .lock()
        .unwrap()
        .push(format!("{kind} {target} {user}"));
    let port: u16 = target.rsplit(':').next().unwrap().parse().unwrap();
    if client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
        carry(client, port).await;
    }
}

async fn socks5(mut client: TcpStream, asked: Asked) -> std::io::Result<()> {
    let mut hello = [0; 2];
    client.read_exact(&mut hello).await?;
    let mut methods = vec![0; hello[1].into()];
    client.read_exact(&mut methods).await?;
    // A user is asked for wherever one is offered.
    let user = if methods.contains(&2) {
        client.write_all(&[5, 2]).await?;
        client.read_u8().await?;
        let name = counted(&mut client).await?;
        let password = counted(&mut client).await?;
        client.write_all(&[1, 0]).await?;
        format!("{name}:{password}")
    } else {
        client.write_all(&[5, 0]).await?;
        String::new()
    };
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    let host = match request[3] {
        1 => Ipv4Addr::from(client.read_u32().await?).to_string(),
        3 => counted(&mut client).await?,
        other => panic!("address of kind {other}"),
    };
    let port = client.read_u16().await?;
    asked
        .lock()
        .unwrap()
        .push(format!("socks5 {host}:{port} {user}"));
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await?;
    carry(client, port).await;
    Ok(())
}

async fn counted(client: &mut TcpStream) -> std::io::Result<String> {
    let mut text = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut text).await?;
    Ok(String::from_utf8(text).unwrap())
}

async fn carry(mut client: impl AsyncRead + AsyncWrite + Unpin, port: u16) {
    if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
