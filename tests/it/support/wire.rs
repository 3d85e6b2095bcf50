//! Raw HTTP/1.1: a client that sends bytes as given, and API servers that record what arrives.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use identity::{
    client_certificate::ClientCertificates, mint::Authority, server::ServingCertificate,
};
use proxy::Options;
use record::{CallRecord, Snapshot};
use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream, server};

use super::proxy::TestProxy;
use crate::kit::client::tls_trusting;

/// Longest wait for anything that must happen.
pub const LONGEST: Duration = Duration::from_secs(10);

/// An HTTPS listener with a CA of its own.
pub struct TlsListener {
    pub url: String,
    pub authority: Authority,
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl TlsListener {
    /// Offers these protocols by ALPN.
    pub async fn bind(alpn: &[&str]) -> Self {
        identity::install_provider();
        let authority = Authority::new("upstream").unwrap();
        let leaf = authority
            .serving("upstream", &["127.0.0.1".to_owned()])
            .unwrap();
        let certificate =
            ServingCertificate::from_der(vec![leaf.certificate()], leaf.key()).unwrap();
        let mut tls: ServerConfig = (*certificate
            .server_config(&ClientCertificates::NotAsked)
            .unwrap())
        .clone();
        tls.alpn_protocols = alpn
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            url: format!("https://{}", tcp.local_addr().unwrap()),
            authority,
            tcp,
            acceptor: TlsAcceptor::from(Arc::new(tls)),
        }
    }

    /// Serves each connection by a task of its own, for as long as the test runs.
    pub fn serve<F>(self, serve: impl Fn(server::TlsStream<TcpStream>) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let serve = Arc::new(serve);
        tokio::spawn(async move {
            while let Ok((stream, _)) = self.tcp.accept().await {
                let (acceptor, serve) = (self.acceptor.clone(), Arc::clone(&serve));
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream).await;
                    }
                });
            }
        });
    }
}

/// What a recorded connection carried, byte by byte.
type Bytes = Arc<Mutex<Vec<u8>>>;

/// An HTTPS server of HTTP/1.1 that records its connections.
pub struct Upstream {
    pub url: String,
    pub ca_pem: String,
    connections: Arc<Mutex<Vec<Bytes>>>,
    /// One message per connection that ended.
    pub closed: mpsc::UnboundedReceiver<()>,
}

impl Upstream {
    /// Answers each connection's first head with fixed bytes, then echoes.
    pub async fn echo(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream, recorded| async move {
            let Some((head, early)) = read_head(&mut stream).await else {
                return;
            };
            recorded.lock().unwrap().extend(head.as_bytes());
            recorded.lock().unwrap().extend(&early);
            let _ = stream.write_all(answer).await;
            let _ = stream.write_all(&early).await;
            let (mut reader, mut writer) = tokio::io::split(stream);
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        })
        .await
    }

    /// Answers each request of each connection with 200.
    pub async fn serving() -> Self {
        Self::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await
    }

    /// Answers each request of each connection with these bytes.
    pub async fn answering(answer: &'static [u8]) -> Self {
        Self::answering_after(answer, Duration::ZERO).await
    }

    /// The same, each after a while.
    pub async fn answering_late(answer: &'static [u8]) -> Self {
        Self::answering_after(answer, Duration::from_millis(200)).await
    }

    async fn answering_after(answer: &'static [u8], delay: Duration) -> Self {
        Self::start(move |mut stream, recorded| async move {
            let mut buffer = vec![0; 64 << 10];
            let mut answered = 0;
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                recorded.lock().unwrap().extend(&buffer[..count]);
                let requests = requests(&recorded.lock().unwrap()).len();
                while answered < requests {
                    answered += 1;
                    // How slow this API server is.
                    tokio::time::sleep(delay).await;
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Answers each connection's first head with fixed bytes, and closes.
    pub async fn once(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream, recorded| async move {
            if let Some((head, _)) = read_head(&mut stream).await {
                recorded.lock().unwrap().extend(head.as_bytes());
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        })
        .await
    }

    async fn start<F>(
        serve: impl Fn(server::TlsStream<TcpStream>, Bytes) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TlsListener::bind(&["http/1.1"]).await;
        let (sender, closed) = mpsc::unbounded_channel();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&connections);
        let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
        listener.serve(move |stream| {
            let bytes = Bytes::default();
            recorded.lock().unwrap().push(Arc::clone(&bytes));
            let (served, sender) = (serve(stream, bytes), sender.clone());
            async move {
                served.await;
                let _ = sender.send(());
            }
        });
        Self {
            url,
            ca_pem,
            connections,
            closed,
        }
    }

    pub async fn proxy(&self) -> TestProxy {
        TestProxy::start(&self.url, &self.ca_pem).await
    }

    pub async fn proxy_with(&self, options: Options) -> TestProxy {
        TestProxy::start_with(&self.url, &self.ca_pem, options).await
    }

    /// What arrived, connection by connection.
    pub fn recorded(&self) -> Vec<String> {
        let connections = self.connections.lock().unwrap();
        let text = |bytes: &Bytes| {
            bytes
                .lock()
                .unwrap()
                .iter()
                .map(|&byte| char::from(byte))
                .collect()
        };
        connections.iter().map(text).collect()
    }

    /// The heads that arrived.
    pub fn heads(&self) -> Vec<String> {
        let recorded = self.recorded();
        recorded
            .iter()
            .flat_map(|bytes| {
                requests(
                    bytes
                        .chars()
                        .map(|c| c as u8)
                        .collect::<Vec<_>>()
                        .as_slice(),
                )
            })
            .collect()
    }
}

/// The heads of all complete requests in a connection's bytes.
fn requests(mut bytes: &[u8]) -> Vec<String> {
    let mut heads = Vec::new();
    while let Some(end) = find(bytes, b"\r\n\r\n") {
        let head: String = bytes[..end + 4].iter().map(|&b| char::from(b)).collect();
        bytes = &bytes[end + 4..];
        let lower = head.to_lowercase();
        let length = lower.split("\r\ncontent-length: ").nth(1);
        let length = length.and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
        let body = if lower.contains("\r\ntransfer-encoding: chunked\r\n") {
            chunked_length(bytes)
        } else {
            Some(length.unwrap_or(0)).filter(|&length| length <= bytes.len())
        };
        let Some(body) = body else {
            return heads;
        };
        bytes = &bytes[body..];
        heads.push(head);
    }
    heads
}

/// The length of a chunked body of small chunks with its trailers, if it is complete.
fn chunked_length(bytes: &[u8]) -> Option<usize> {
    let last = if bytes.starts_with(b"0\r\n") {
        0
    } else {
        find(bytes, b"\r\n0\r\n")? + 2
    };
    Some(last + find(&bytes[last..], b"\r\n\r\n")? + 4)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// The head up to the empty line, and what came with it.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            let head = bytes.iter().map(|&byte| char::from(byte)).collect();
            return Some((head, rest));
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

/// A client's side of TLS that trusts this authority.
pub fn client_tls(authority: &Authority, alpn: &[&str]) -> ClientConfig {
    tls_trusting(authority.certificate(), alpn)
}

/// A TLS connection with these protocols offered.
pub async fn connect_with(url: &str, authority: &Authority, alpn: &[&str]) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(url.trim_start_matches("https://"))
        .await
        .unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(client_tls(authority, alpn)))
        .connect(name, tcp)
        .await
        .unwrap()
}

pub async fn connect(proxy: &TestProxy) -> TlsStream<TcpStream> {
    connect_with(&proxy.url, &proxy.authority, &[]).await
}

/// Sends a request and gives the answer's head and what follows for a moment, or until the
/// connection closes.
pub async fn exchange(proxy: &TestProxy, request: &[u8]) -> (String, Vec<u8>) {
    let mut stream = connect(proxy).await;
    stream.write_all(request).await.unwrap();
    let (head, mut body) = timeout(LONGEST, read_head(&mut stream))
        .await
        .unwrap()
        .unwrap();
    let _ = timeout(Duration::from_millis(300), stream.read_to_end(&mut body)).await;
    (head, body)
}

/// Sends bytes and gives everything that comes back until the proxy closes the connection, which
/// it must.
pub async fn last_words(proxy: &TestProxy, request: &[u8]) -> String {
    let mut stream = connect(proxy).await;
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A close without a TLS farewell is one, too.
    let _ = timeout(LONGEST, stream.read_to_end(&mut answer))
        .await
        .expect("the proxy closes the connection");
    answer.iter().map(|&byte| char::from(byte)).collect()
}

pub async fn books(proxy: &TestProxy) -> Snapshot {
    proxy.admin.snapshot().await.unwrap()
}

/// (code, reason, answered) of the rows whose call is wanted.
pub fn counted(
    books: &Snapshot,
    wanted: impl Fn(&CallRecord) -> bool,
) -> Vec<(String, String, u64)> {
    let rows = books.rows.iter().filter(|row| wanted(&row.call));
    rows.map(|row| {
        let (code, reason) = (row.outcome.code(), row.outcome.reason());
        let code = code.map_or_else(String::new, |code| code.to_string());
        (code, reason.unwrap_or_default().to_owned(), row.answered)
    })
    .collect()
}
