//! Generated requests to a recording server, directly and through the proxy.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
};

use identity::{
    client_certificate::ClientCertificates, mint::Authority, server::ServingCertificate,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Exchange, Message,
    client::Client,
    compare::{differences, expected},
    generate::Case,
    http1::{self, Wire},
    http2,
};
use crate::{kit::client::Target, support::proxy::TestProxy};

/// Requests that are under way at once, and the longest list of differences.
const WORKERS: u64 = 8;
const SHOWN: usize = 20;

/// Requests by `X-Case`, as they arrived.
type Arrived = Arc<Mutex<HashMap<String, Message>>>;

struct Server {
    url: String,
    authority: Authority,
    arrived: Arrived,
}

impl Server {
    async fn start() -> Self {
        identity::install_provider();
        let authority = Authority::new("upstream").unwrap();
        let leaf = authority
            .serving("upstream", &["127.0.0.1".to_owned()])
            .unwrap();
        let certificate =
            ServingCertificate::from_der(vec![leaf.certificate()], leaf.key()).unwrap();
        let acceptor = TlsAcceptor::from(
            certificate
                .server_config(&ClientCertificates::NotAsked)
                .unwrap(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let arrived = Arrived::default();
        let recorded = Arc::clone(&arrived);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, arrived) = (acceptor.clone(), Arc::clone(&recorded));
                tokio::spawn(async move {
                    stream.set_nodelay(true).unwrap();
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    // A connection ends when its client has seen enough.
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        let _ = serve_http2(stream, arrived).await;
                    } else {
                        let _ = serve_http1(stream, arrived).await;
                    }
                });
            }
        });
        Self {
            url,
            authority,
            arrived,
        }
    }
}

/// The case that an id `SEED-WAY` names.
fn case_of(id: &str, http2: bool) -> Case {
    let seed = id.split('-').next().unwrap().parse().unwrap();
    Case::generate(seed, http2)
}

async fn serve_http1(stream: TlsStream<TcpStream>, arrived: Arrived) -> io::Result<()> {
    let mut wire = Wire::new(stream);
    loop {
        let (id, request) = http1::hear(&mut wire).await?;
        let case = case_of(&id, false);
        arrived.lock().unwrap().insert(id, request);
        http1::answer(&mut wire, case.request.method, &case.answer).await?;
    }
}

async fn serve_http2(stream: TlsStream<TcpStream>, arrived: Arrived) -> Result<(), h2::Error> {
    let mut connection = h2::server::Builder::new()
        .max_header_list_size(1 << 20)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(16 << 20)
        .handshake(stream)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let arrived = Arc::clone(&arrived);
        tokio::spawn(async move {
            let (id, request) = http2::hear(request).await?;
            let case = case_of(&id, true);
            arrived.lock().unwrap().insert(id, request);
            http2::answer(respond, &case.answer)
        });
    }
    Ok(())
}

#[derive(Clone)]
struct Harness {
    http2: bool,
    direct: Target,
    through: Target,
    arrived: Arrived,
}

impl Harness {
    /// Every `WORKERS`th case from `first` on.
    async fn work(self, first: u64, count: u64) -> Vec<String> {
        let (mut direct, mut through) = (Client::new(self.http2), Client::new(self.http2));
        let mut found = Vec::new();
        for seed in (first..count).step_by(WORKERS.try_into().unwrap()) {
            let case = Case::generate(seed, self.http2);
            if self.http2 || case.request.head_bytes() > LARGE {
                // Of a client that has proved no credential, some large heads end the connection,
                // and over HTTP/2 what comes before a head counts as well.
                through = Client::new(self.http2);
            }
            let one = self
                .exchange(&mut direct, &self.direct, &case, &format!("{seed}-direct"))
                .await;
            let other = self
                .exchange(
                    &mut through,
                    &self.through,
                    &case,
                    &format!("{seed}-through"),
                )
                .await;
            let differ = match (one, other) {
                (Ok(one), Ok(other)) => differences(&expected(one, self.http2), &other),
                (one, other) => vec![format!("{:?} {:?}", one.err(), other.err())],
            };
            let name = format!(
                "case {seed}, {} {:.60}",
                case.request.method, case.request.target
            );
            found.extend(differ.into_iter().map(|differ| format!("{name}: {differ}")));
            if found.len() > SHOWN {
                break;
            }
        }
        found
    }

    async fn exchange(
        &self,
        client: &mut Client,
        target: &Target,
        case: &Case,
        id: &str,
    ) -> Result<Exchange, String> {
        let answered = client.ask(target, &case.request, id).await?;
        let arrived = self.arrived.lock().unwrap().remove(id);
        let arrived =
            arrived.ok_or_else(|| format!("never arrived, but was answered: {answered:?}"))?;
        Ok(Exchange { arrived, answered })
    }
}

/// Bytes of a head that the proxy remembers of a client that has proved no credential.
const LARGE: usize = 3 << 10;

/// Compares that many cases; panics with what differs.
async fn compare(http2: bool, count: u64) {
    let server = Server::start().await;
    let proxy = TestProxy::start(&server.url, &server.authority.certificate_pem()).await;
    let direct = Target::new(&server.url, &server.authority);
    let harness = Harness {
        http2,
        direct,
        through: Target::new(&proxy.url, &proxy.authority),
        arrived: Arc::clone(&server.arrived),
    };
    let mut workers = JoinSet::new();
    for first in 0..WORKERS {
        workers.spawn(harness.clone().work(first, count));
    }
    let found = workers.join_all().await.concat();
    let shown: Vec<_> = found.iter().take(SHOWN).map(String::as_str).collect();
    assert!(found.is_empty(), "{}", shown.join("\n"));
    let books = proxy.admin.snapshot().await.unwrap();
    assert_eq!(
        books.rows.iter().map(|row| row.answered).sum::<u64>(),
        count
    );
    proxy.stop().await;
}

fn count() -> u64 {
    let count = std::env::var("KUBETOLL_DIFFERENTIAL");
    count.map_or(3_000, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_is_the_same_directly_and_through_the_proxy() {
    compare(false, count() / 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_the_same_directly_and_through_the_proxy() {
    compare(true, count() / 2).await;
}
