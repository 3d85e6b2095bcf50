//! The admin ports of the proxies that take part in a run.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::record::{OpenRun, RunDetailRecord, RunProgress, Snapshot};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer: a journal of a million requests.
const ANSWER_MAX: usize = 512 << 20;

/// One proxy's admin port.
#[derive(Clone)]
pub struct ProxyClient {
    url: String,
    token: Option<Arc<HeaderValue>>,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// Why a proxy doesn't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Not a URL of an admin port.
    #[error("{0:?} is not the URL of a proxy's admin port, such as http://127.0.0.1:16444")]
    BadUrl(String),
    /// No answer.
    #[error("no answer from the proxy at {url}: {detail}")]
    Unreachable {
        /// Its admin port.
        url: String,
        /// Why.
        detail: String,
    },
    /// Another run is open.
    #[error("the proxy at {url} says: {detail}")]
    Busy {
        /// Its admin port.
        url: String,
        /// Which.
        detail: String,
    },
    /// The proxy doesn't know the run: it was restarted, or the run's lease ended.
    #[error("the proxy at {url} lost the run, so that its counts are not valid: {detail}")]
    Lost {
        /// Its admin port.
        url: String,
        /// What it says.
        detail: String,
    },
    /// Any other refusal.
    #[error("the proxy at {url} answers {status}: {detail}")]
    Refused {
        /// Its admin port.
        url: String,
        /// The status.
        status: StatusCode,
        /// What it says.
        detail: String,
    },
}

impl ProxyClient {
    /// The admin port at `url`, with the bearer token that it asks for.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, ProxyError> {
        let bad_url = || ProxyError::BadUrl(url.to_owned());
        let url = url.trim_end_matches('/').to_owned();
        let uri: Uri = url.parse().map_err(|_| bad_url())?;
        if uri.scheme_str() != Some("http") || !matches!(uri.path(), "" | "/") {
            return Err(bad_url());
        }
        let token = token
            .map(|token| HeaderValue::try_from(format!("Bearer {token}")))
            .transpose()
            .map_err(|_| bad_url())?;
        Ok(Self {
            url,
            token: token.map(|mut token| {
                token.set_sensitive(true);
                Arc::new(token)
            }),
            http: Client::builder(TokioExecutor::new()).build_http(),
        })
    }

    /// The admin port's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// One instant of the books.
    pub async fn snapshot(&self) -> Result<Snapshot, ProxyError> {
        self.call(Method::GET, "/snapshot", Bytes::new()).await
    }

    /// Opens a run.
    pub async fn open_run(&self, id: &str, asked: &OpenRun) -> Result<Snapshot, ProxyError> {
        let body = serde_json::to_vec(asked).unwrap_or_default();
        self.call(Method::PUT, &format!("/runs/{id}"), body.into())
            .await
    }

    /// The run as it is now.
    pub async fn look_at_run(&self, id: &str, namespace: &str) -> Result<RunProgress, ProxyError> {
        let path = format!("/runs/{id}?namespace={namespace}");
        self.call(Method::GET, &path, Bytes::new()).await
    }

    /// Closes a run.
    pub async fn close_run(&self, id: &str) -> Result<RunDetailRecord, ProxyError> {
        self.call(Method::DELETE, &format!("/runs/{id}"), Bytes::new())
            .await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ProxyError> {
        let unreachable = |detail: String| ProxyError::Unreachable {
            url: self.url.clone(),
            detail,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, HeaderValue::clone(token));
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| unreachable(error.to_string()))?;
        let exchange = async {
            let response = self
                .http
                .request(request)
                .await
                .map_err(|error| error.to_string())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX)
                .collect()
                .await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok((status, body))
        };
        let (status, body) = match timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer.map_err(unreachable)?,
            Err(_) => return Err(unreachable("it took too long".to_owned())),
        };
        if status == StatusCode::OK {
            return serde_json::from_slice(&body)
                .map_err(|error| unreachable(format!("not what a proxy answers: {error}")));
        }
        Err(self.refused(status, &body))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> ProxyError {
        let url = self.url.clone();
        let detail: String = String::from_utf8_lossy(body)
            .trim()
            .chars()
            .take(200)
            .collect();
        match status {
            StatusCode::CONFLICT => ProxyError::Busy { url, detail },
            StatusCode::NOT_FOUND => ProxyError::Lost { url, detail },
            _ => ProxyError::Refused {
                url,
                status,
                detail,
            },
        }
    }
}
