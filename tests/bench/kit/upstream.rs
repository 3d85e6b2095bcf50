//! An API server that does what a request's query says, and records what it answered.
//!
//! - `watch=1&every=MICROSECONDS&count=EVENTS&bytes=SIZE&id=ID`: a stream of numbered events
//! - `delay=MILLISECONDS`: how long the answer takes
//! - `bytes=SIZE`: the size of the answer
//! - an upgrade is accepted and echoes
//! - a forged token of the crowd is refused with 401

use std::{
    collections::HashMap,
    io::ErrorKind,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::{
    client_certificate::ClientCertificates, mint::Authority, server::ServingCertificate,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Interval, MissedTickBehavior, interval_at, sleep},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{crowd, script::Script};

/// kube-apiserver's.
const STREAMS_MAX: u32 = 100;

/// Zero of the times in events.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the process's first event.
pub fn now_nanos() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).unwrap()
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub method: Method,
    pub path: String,
    pub code: u16,
}

/// What an upstream saw.
#[derive(Default)]
pub struct Records {
    next_audit_id: AtomicU64,
    /// What is answered to requests that it knows.
    script: Script,
    /// Answers by audit ID.
    answers: Mutex<HashMap<String, Answered>>,
    /// When the watch of an id was no longer wanted.
    ended: Mutex<HashMap<String, Instant>>,
    pub watches_open: AtomicUsize,
    watches_opened: AtomicU64,
    pub connections_open: AtomicUsize,
    pub connections_opened: AtomicUsize,
}

impl Records {
    /// Gives the answers, and forgets them.
    pub fn take_answers(&self) -> HashMap<String, Answered> {
        std::mem::take(&mut self.answers.lock().unwrap())
    }

    /// When the watch of that id was no longer wanted.
    pub fn ended(&self, id: &str) -> Option<Instant> {
        self.ended.lock().unwrap().get(id).copied()
    }
}

/// An HTTPS server, HTTP/2 with 100 streams a connection and HTTP/1.1.
pub struct Upstream {
    pub url: String,
    pub authority: Authority,
    pub records: Arc<Records>,
    acceptor: TlsAcceptor,
    serving: CancellationToken,
}

/// A port below those that the system gives to clients: while nobody listens on one of theirs, a
/// client's connection can take it.
pub fn free_port() -> u16 {
    let ports = std::iter::repeat_with(|| rand::random_range(10_000..30_000));
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(1_000).find(is_free).expect("a port is free")
}

/// The listener of before may not be gone yet: whoever drops it has to be scheduled first.
fn bind(address: SocketAddr) -> TcpListener {
    let try_once = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(1024)
    };
    for _ in 0..500 {
        match try_once() {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                thread::sleep(Duration::from_millis(10));
            }
            bound => return bound.unwrap(),
        }
    }
    panic!("{address} stays in use");
}

impl Upstream {
    pub async fn start() -> Self {
        Self::start_with(Script::default()).await
    }

    /// The same, which answers what it knows as this says.
    pub async fn start_with(script: Script) -> Self {
        identity::install_provider();
        let authority = Authority::new("upstream-ca").unwrap();
        let leaf = authority
            .serving(
                "upstream",
                &["127.0.0.1".to_owned(), "localhost".to_owned()],
            )
            .unwrap();
        let certificate =
            ServingCertificate::from_der(vec![leaf.certificate()], leaf.key()).unwrap();
        let mut upstream = Self {
            url: format!("https://127.0.0.1:{}", free_port()),
            authority,
            records: Arc::new(Records {
                script,
                ..Records::default()
            }),
            acceptor: TlsAcceptor::from(
                certificate
                    .server_config(&ClientCertificates::NotAsked)
                    .unwrap(),
            ),
            serving: CancellationToken::new(),
        };
        upstream.listen();
        upstream
    }

    /// Cuts all connections and refuses new ones.
    pub fn stop(&self) {
        self.serving.cancel();
    }

    /// Serves on the same port again, after [`stop`](Self::stop).
    pub fn listen(&mut self) {
        let address = self.url.trim_start_matches("https://").parse().unwrap();
        let listener = bind(address);
        self.serving = CancellationToken::new();
        let (acceptor, records, serving) = (
            self.acceptor.clone(),
            Arc::clone(&self.records),
            self.serving.clone(),
        );
        tokio::spawn(async move {
            while let Some(Ok((stream, _))) = serving.run_until_cancelled(listener.accept()).await {
                let (acceptor, records) = (acceptor.clone(), Arc::clone(&records));
                let serving = serving.clone();
                tokio::spawn(async move {
                    records.connections_opened.fetch_add(1, Ordering::Relaxed);
                    let _open = Open::new(&records, |records| &records.connections_open);
                    let served = serve(stream, acceptor, Arc::clone(&records), &serving);
                    serving.run_until_cancelled(served).await;
                });
            }
        });
    }
}

/// Counts while it lives.
struct Open(Arc<Records>, fn(&Records) -> &AtomicUsize);

impl Open {
    fn new(records: &Arc<Records>, gauge: fn(&Records) -> &AtomicUsize) -> Self {
        gauge(records).fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(records), gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    records: Arc<Records>,
    serving: &CancellationToken,
) {
    stream.set_nodelay(true).unwrap();
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let serving = serving.clone();
    let service = service_fn(move |request| {
        let (records, serving) = (Arc::clone(&records), serving.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(request, records, serving).await) }
    });
    let stream = TokioIo::new(stream);
    // However a connection ends, the records say what matters.
    let _ = if is_http2 {
        http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(STREAMS_MAX)
            .serve_connection(stream, service)
            .await
    } else {
        http1::Builder::new()
            .serve_connection(stream, service)
            .with_upgrades()
            .await
    };
}

type AnswerBody = BoxBody<Bytes, std::convert::Infallible>;

async fn answer(
    request: Request<Incoming>,
    records: Arc<Records>,
    serving: CancellationToken,
) -> Response<AnswerBody> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match records.script.answer(request).await {
        Ok(response) => response,
        Err(request) => obey(request, &records, serving).await,
    };
    let number = records.next_audit_id.fetch_add(1, Ordering::Relaxed);
    // As long as a UUID.
    let id = format!("audit-id-of-this-upstream-{number:010}");
    let headers = response.headers_mut();
    headers.insert("audit-id", HeaderValue::from_str(&id).unwrap());
    let answered = Answered {
        method,
        path,
        code: response.status().as_u16(),
    };
    records.answers.lock().unwrap().insert(id, answered);
    response
}

/// Does what the request's query says.
async fn obey(
    request: Request<Incoming>,
    records: &Arc<Records>,
    serving: CancellationToken,
) -> Response<AnswerBody> {
    let query = Query(request.uri().query().unwrap_or_default().to_owned());
    let path = request.uri().path();
    let is_forged = crowd::is_forged(request.headers());
    let upgrade = request.headers().get(header::UPGRADE).cloned();
    let upgrade = upgrade.filter(|_| !is_forged);
    let code = if is_forged {
        StatusCode::UNAUTHORIZED
    } else if upgrade.is_some() {
        StatusCode::SWITCHING_PROTOCOLS
    } else if path.ends_with("missing") {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::OK
    };
    let mut response = if let Some(protocol) = &upgrade {
        tokio::spawn(serving.run_until_cancelled_owned(echo(request)));
        let mut response = Response::new(Empty::new().boxed());
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, protocol.clone());
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        response
    } else if query.number("watch").is_some() {
        Response::new(Events::new(&query, records).boxed())
    } else {
        // A body that breaks off is a client that left.
        let _ = request.into_body().collect().await;
        if let Some(delay) = query.number("delay") {
            sleep(Duration::from_millis(delay)).await;
        }
        let size = usize::try_from(query.number("bytes").unwrap_or(2)).unwrap();
        Response::new(Full::from(vec![b' '; size]).boxed())
    };
    *response.status_mut() = code;
    response
}

async fn echo(mut request: Request<Incoming>) {
    let Ok(upgraded) = hyper::upgrade::on(&mut request).await else {
        return;
    };
    let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
    let _ = tokio::io::AsyncWriteExt::shutdown(&mut writer).await;
}

struct Query(String);

impl Query {
    fn text(&self, name: &str) -> Option<&str> {
        let pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .next()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
}

/// A stream of events `NUMBER NANOSECONDS` and padding, one DATA frame each.
struct Events {
    pace: Option<Interval>,
    next: u64,
    count: u64,
    bytes: usize,
    id: Option<String>,
    records: Arc<Records>,
    _open: Open,
}

impl Events {
    fn new(query: &Query, records: &Arc<Records>) -> Self {
        let every = query.number("every").filter(|every| *every > 0);
        Self {
            pace: every.map(|every| {
                // Watches that are opened together don't send together.
                let opened = records.watches_opened.fetch_add(1, Ordering::Relaxed);
                let phase = Duration::from_micros(opened * 7_919 % every);
                let period = Duration::from_micros(every);
                let mut pace = interval_at(tokio::time::Instant::now() + phase, period);
                pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
                pace
            }),
            next: 0,
            count: query.number("count").unwrap_or(u64::MAX),
            bytes: usize::try_from(query.number("bytes").unwrap_or(256)).unwrap(),
            id: query.text("id").map(str::to_owned),
            records: Arc::clone(records),
            _open: Open::new(records, |records| &records.watches_open),
        }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.next == self.count {
            return Poll::Ready(None);
        }
        if let Some(pace) = &mut self.pace {
            ready!(pace.poll_tick(context));
        }
        let mut event = format!("{} {} ", self.next, now_nanos());
        let padding = self.bytes.saturating_sub(event.len() + 1);
        event.extend(std::iter::repeat_n('.', padding));
        event.push('\n');
        self.next += 1;
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let mut ended = self.records.ended.lock().unwrap();
            ended.insert(id, Instant::now());
        }
    }
}
