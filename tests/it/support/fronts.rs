//! HTTPS servers that stand before an API server as load balancers and Rancher do: with another
//! certificate, or below a path.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, uri::PathAndQuery};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

type Https = hyper_rustls::HttpsConnector<HttpConnector>;

/// Starts one with `tls` before `server`, whose paths are below `prefix`; gives its port.
pub async fn start(tls: ServerConfig, server: &str, ca_pem: &str, prefix: &'static str) -> u16 {
    let upstream = identity::upstream::Upstream {
        url: server.to_owned(),
        ca: identity::upstream::CaSource::Pem(ca_pem.into()),
        server_name: None,
    };
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(upstream.client_config(None).unwrap())
        .https_only()
        .enable_http1()
        .build();
    let client: Client<Https, Incoming> = Client::builder(TokioExecutor::new()).build(https);
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server: Uri = server.parse().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, client, server) = (acceptor.clone(), client.clone(), server.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let pass = service_fn(|request| pass(&client, &server, prefix, request));
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), pass).await;
            });
        }
    });
    port
}

async fn pass(
    client: &Client<Https, Incoming>,
    server: &Uri,
    prefix: &str,
    mut request: Request<Incoming>,
) -> Result<Response<Either<Incoming, Full<Bytes>>>, hyper_util::client::legacy::Error> {
    let target = request.uri().path_and_query().unwrap().as_str();
    let Some(below) = target
        .strip_prefix(prefix)
        .filter(|below| below.starts_with('/'))
    else {
        let nothing = Full::new(Bytes::from_static(b"nothing here"));
        let mut response = Response::new(Either::Right(nothing));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    let mut parts = server.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(below).unwrap());
    *request.uri_mut() = Uri::from_parts(parts).unwrap();
    request.headers_mut().remove(http::header::HOST);
    Ok(client.request(request).await?.map(Either::Left))
}
