//! Forwarders that do nothing but forward: what the libraries take that Kubetoll's proxy is made of.
//! One thread, TLS on both sides, one upstream connection for each downstream one, no books, no
//! limits, no checks.

mod h2_direct;
mod http1_in_place;
mod hyper_tasks;

use std::{path::Path, sync::Arc};

use hyper_util::rt::TokioIo;
use identity::{client_certificate::ClientCertificates, server::ServingCertificate};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::kit::client::tls_trusting;

type Downstream = TokioIo<server::TlsStream<TcpStream>>;
type FromUpstream = TokioIo<client::TlsStream<TcpStream>>;

/// Forwards for ever. `arguments`: how, the upstream's address, a folder with `upstream.crt`,
/// `tls.crt` and `tls.key`, and the ports for HTTP/1.1 and HTTP/2.
///
/// - `tasks`: by hyper, each connection a task of its own, and each HTTP/2 stream
/// - `direct`: a connection and its upstream one in one task: HTTP/1.1 by hyper, whose client is
///   polled where its response is waited for; HTTP/2 by h2
pub fn run(arguments: &[String]) -> ! {
    let [how, address, dir, http1, http2] = arguments else {
        panic!("not the arguments of a forwarder: {arguments:?}");
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let acceptor = acceptor(Path::new(dir));
        let serve = |port: &String, protocol: &'static str| {
            let upstream = Arc::new(Upstream::new(address, Path::new(dir), protocol));
            let port = port.parse().unwrap();
            serve(how == "direct", port, acceptor.clone(), upstream)
        };
        tokio::join!(serve(http1, "http/1.1"), serve(http2, "h2")).0
    })
}

async fn serve(direct: bool, port: u16, acceptor: TlsAcceptor, upstream: Arc<Upstream>) -> ! {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (acceptor, upstream) = (acceptor.clone(), Arc::clone(&upstream));
        tokio::spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else {
                return; // who only looks whether somebody listens
            };
            let stream = TokioIo::new(tls);
            match (direct, upstream.protocol) {
                (false, "h2") => hyper_tasks::http2(stream, &upstream).await,
                (false, _) => hyper_tasks::http1(stream, &upstream).await,
                (true, "h2") => h2_direct::http2(stream, &upstream).await,
                (true, _) => http1_in_place::http1(stream, &upstream).await,
            }
        });
    }
}

/// With both protocols: a client offers the one that its port is for.
fn acceptor(dir: &Path) -> TlsAcceptor {
    let certificate = ServingCertificate::from_files(&dir.join("tls.crt"), &dir.join("tls.key"));
    let tls = certificate
        .unwrap()
        .server_config(&ClientCertificates::NotAsked);
    TlsAcceptor::from(tls.unwrap())
}

/// The upstream, by one protocol.
struct Upstream {
    address: String,
    protocol: &'static str,
    tls: TlsConnector,
}

impl Upstream {
    fn new(address: &str, dir: &Path, protocol: &'static str) -> Self {
        let ca = CertificateDer::from_pem_file(dir.join("upstream.crt"));
        let tls = tls_trusting(ca.unwrap(), &[protocol]);
        Self {
            address: address.to_owned(),
            protocol,
            tls: TlsConnector::from(Arc::new(tls)),
        }
    }

    async fn connect(&self) -> FromUpstream {
        let tcp = TcpStream::connect(&self.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TokioIo::new(self.tls.connect(name, tcp).await.unwrap())
    }
}
