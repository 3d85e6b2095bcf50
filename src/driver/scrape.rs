//! Metrics endpoints of components.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::time::timeout;

use cluster::causes::with_causes;
use record::printable_line;

/// Longest wait for a page.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest page, in bytes.
const PAGE_MAX: usize = 32 << 20;
/// What is asked for: not OpenMetrics, whose counters have other names.
const ACCEPT: HeaderValue = HeaderValue::from_static("text/plain;version=0.0.4");

/// A client of one metrics endpoint.
pub struct Scraper {
    uri: Uri,
    token: Option<HeaderValue>,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// Why there is no page. Never with a query or a token.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// Not a URL of a metrics endpoint.
    #[error("not a URL of a metrics endpoint, such as https://10.0.0.7:8443/metrics")]
    BadUrl,
    /// Not a name that a certificate can have.
    #[error("{0:?} is not a server name")]
    BadServerName(String),
    /// The token can't be a header.
    #[error("the token for metrics endpoints is no header value")]
    BadToken,
    /// No whole answer in time.
    #[error("no answer from {url}: {detail}")]
    Unreachable {
        /// The endpoint, without its query.
        url: String,
        /// Why, on one line.
        detail: String,
    },
    /// An answer that is no page.
    #[error("{url} answers {status}")]
    Refused {
        /// The endpoint, without its query.
        url: String,
        /// The HTTP status of its answer.
        status: StatusCode,
    },
}

impl Scraper {
    /// The endpoint at `url`; without a path, its `/metrics`. `token` is sent as a bearer token,
    /// and a server of HTTPS is verified by `tls`, as `server_name` if that is given.
    pub fn new(
        url: &str,
        token: Option<&str>,
        tls: ClientConfig,
        server_name: Option<&str>,
    ) -> Result<Self, ScrapeError> {
        let uri: Uri = url.parse().map_err(|_| ScrapeError::BadUrl)?;
        let uri = match uri.path() {
            "" | "/" => format!("{}/metrics", url.trim_end_matches('/')).parse(),
            _ => Ok(uri),
        };
        let uri = uri.map_err(|_| ScrapeError::BadUrl)?;
        let authority = uri.authority().ok_or(ScrapeError::BadUrl)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.as_str().contains('@') {
            return Err(ScrapeError::BadUrl);
        }
        let token = token.map(|token| HeaderValue::try_from(format!("Bearer {token}")));
        let mut token = token.transpose().map_err(|_| ScrapeError::BadToken)?;
        token.iter_mut().for_each(|token| token.set_sensitive(true));
        Ok(Self {
            uri,
            token,
            client: Client::builder(TokioExecutor::new()).build(connector(tls, server_name)?),
        })
    }

    /// The endpoint without its query.
    pub fn url(&self) -> String {
        let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
        let scheme = part(self.uri.scheme_str());
        let authority = part(self.uri.authority().map(|authority| authority.as_str()));
        format!("{scheme}://{authority}{}", self.uri.path())
    }

    /// What it says now.
    pub async fn page(&self) -> Result<Bytes, ScrapeError> {
        let unreachable = |detail: String| ScrapeError::Unreachable {
            url: self.url(),
            detail: printable_line(&detail).into_owned(),
        };
        let mut request = Request::get(self.uri.clone()).header(header::ACCEPT, ACCEPT);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.clone());
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| unreachable(error.to_string()))?;
        let exchange = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|error| with_causes(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), PAGE_MAX).collect().await;
            let body = body.map_err(|error| error.to_string())?;
            Ok((status, body.to_bytes()))
        };
        match timeout(TIMEOUT, exchange).await {
            Err(_) => Err(unreachable("it took too long".to_owned())),
            Ok(Err(detail)) => Err(unreachable(detail)),
            Ok(Ok((StatusCode::OK, page))) => Ok(page),
            Ok(Ok((status, _))) => Err(ScrapeError::Refused {
                url: self.url(),
                status,
            }),
        }
    }
}

fn connector(
    tls: ClientConfig,
    server_name: Option<&str>,
) -> Result<HttpsConnector<HttpConnector>, ScrapeError> {
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    let Some(name) = server_name else {
        return Ok(builder.enable_http1().build());
    };
    let fixed = ServerName::try_from(name.to_owned())
        .map_err(|_| ScrapeError::BadServerName(name.to_owned()))?;
    let builder = builder.with_server_name_resolver(FixedServerNameResolver::new(fixed));
    Ok(builder.enable_http1().build())
}
