//! The admin ports of the proxies that take part in a run.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::transport::AdminTransport;
use record::{
    ADMIN_TOKEN_HEADER, JournalPage, JournalPosition, OpenRun, PodRecord, RecentRequests,
    RunDetailRecord, RunProgress, Snapshot, printable_line,
};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for the first answer of a proxy that may not be there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// One proxy's admin port.
#[derive(Clone)]
pub struct ProxyClient {
    url: String,
    token: Option<Arc<HeaderValue>>,
    transport: AdminTransport,
    pod: Option<Arc<PodRecord>>,
}

/// Why a proxy doesn't do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProxyError {
    /// Not a URL of an admin port.
    #[error("{0:?} is not the URL of a proxy's admin port, such as http://127.0.0.1:16444")]
    BadUrl(String),
    /// No answer, or one that no proxy gives.
    #[error("no answer from the proxy at {url}: {detail}")]
    Unreachable {
        /// URL of its admin port, or what names that for people.
        url: String,
        /// Why, on one line.
        detail: String,
    },
    /// Another run is open.
    #[error("the proxy at {url} says: {detail}")]
    Busy {
        /// URL of its admin port, or what names that for people.
        url: String,
        /// What it says, which names that run.
        detail: String,
    },
    /// The proxy doesn't know the run: it was restarted, or the run's lease ended.
    #[error("the proxy at {url} lost the run, so that its counts are not valid: {detail}")]
    Lost {
        /// URL of its admin port, or what names that for people.
        url: String,
        /// What it says, on one line of at most 200 characters.
        detail: String,
    },
    /// The token is not the proxy's.
    #[error(
        "the proxy at {url} does not take the admin token: name the file that has it with \
         --proxy-token-file"
    )]
    WrongToken {
        /// URL of its admin port, or what names that for people.
        url: String,
    },
    /// The token has bytes that no token has.
    #[error("the proxies' admin token is not one")]
    BadToken,
    /// Not the same proxies all the time.
    #[error(
        "not the same proxies took part all the time, so that the counts are not valid: {}",
        .0.join("; ")
    )]
    Changed(Vec<String>),
    /// It refuses what was asked for any other reason.
    #[error("the proxy at {url} answers {status}: {detail}")]
    Refused {
        /// URL of its admin port, or what names that for people.
        url: String,
        /// The HTTP status of its answer.
        status: StatusCode,
        /// What it says, on one line of at most 200 characters.
        detail: String,
    },
}

impl ProxyError {
    /// Whether what was counted so far is worth nothing: a proxy lost it, or another took its place.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Changed(_))
    }
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
        let token = token.map(secret).transpose().map_err(|_| bad_url())?;
        Ok(Self {
            transport: AdminTransport::network(url.clone()),
            url,
            token,
            pod: None,
        })
    }

    /// The admin port of a pod's proxy by a transport that leads to it; `place` names it for people.
    pub fn of_pod(
        pod: PodRecord,
        place: String,
        transport: AdminTransport,
        token: &str,
    ) -> Result<Self, ProxyError> {
        let token = secret(token).map_err(|_| ProxyError::BadToken)?;
        Ok(Self {
            url: place,
            token: Some(token),
            transport,
            pod: Some(Arc::new(pod)),
        })
    }

    /// The admin port's URL, or what names it for people.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The pod that it is in, if that is known.
    pub fn pod(&self) -> Option<&PodRecord> {
        self.pod.as_deref()
    }

    /// Whether its admin port is reached without the API server.
    pub fn is_direct(&self) -> bool {
        self.transport.is_direct()
    }

    /// Whether it answers, and takes the token.
    pub async fn probe(&self) -> Result<(), ProxyError> {
        match timeout(PROBE_TIMEOUT, self.snapshot()).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(self.unreachable("it took too long".to_owned())),
        }
    }

    /// One instant of the books (`GET /snapshot`).
    pub async fn snapshot(&self) -> Result<Snapshot, ProxyError> {
        self.call(Method::GET, "/snapshot", Bytes::new()).await
    }

    /// The last requests that it keeps (`GET /requests`).
    pub async fn recent(&self) -> Result<RecentRequests, ProxyError> {
        let answer = self.call(Method::GET, "/requests", Bytes::new()).await;
        answer.map_err(|error| match error {
            // No run is lost: it keeps none.
            ProxyError::Lost { url, detail } => ProxyError::Refused {
                url,
                status: StatusCode::NOT_FOUND,
                detail,
            },
            other => other,
        })
    }

    /// Opens a run (`PUT /runs/ID`); gives the books as they were then.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Busy`] if another run is open.
    pub async fn open_run(&self, id: &str, asked: &OpenRun) -> Result<Snapshot, ProxyError> {
        let body = serde_json::to_vec(asked).unwrap_or_default();
        self.call(Method::PUT, &format!("/runs/{id}"), body.into())
            .await
    }

    /// The run as it is now (`GET /runs/ID`), with the calls that name `namespace` counted apart.
    pub async fn look_at_run(&self, id: &str, namespace: &str) -> Result<RunProgress, ProxyError> {
        let path = format!("/runs/{id}?namespace={namespace}");
        self.call(Method::GET, &path, Bytes::new()).await
    }

    /// Lines of the journal of a run that is open (`GET /runs/ID/journal`), from a position on.
    pub async fn journal_page(
        &self,
        id: &str,
        from: JournalPosition,
    ) -> Result<JournalPage, ProxyError> {
        let JournalPosition {
            lines,
            ends,
            clients,
        } = from;
        let path = format!("/runs/{id}/journal?lines={lines}&ends={ends}&clients={clients}");
        self.call(Method::GET, &path, Bytes::new()).await
    }

    /// Closes a run (`DELETE /runs/ID`); gives the books as they were then, and the run's objects
    /// and journal.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Lost`] if the proxy doesn't know the run.
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
        let mut request = Request::builder()
            .method(method)
            .uri(self.transport.uri(path));
        if let Some(token) = &self.token {
            let header = if self.transport.keeps_authorization() {
                header::AUTHORIZATION.as_str()
            } else {
                ADMIN_TOKEN_HEADER
            };
            request = request.header(header, HeaderValue::clone(token));
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| self.unreachable(error.to_string()))?;
        let (status, body) = match timeout(TIMEOUT, self.transport.send(request)).await {
            Ok(answer) => answer.map_err(|detail| self.unreachable(detail))?,
            Err(_) => return Err(self.unreachable("it took too long".to_owned())),
        };
        if status == StatusCode::OK {
            return serde_json::from_slice(&body)
                .map_err(|error| self.unreachable(format!("not what a proxy answers: {error}")));
        }
        Err(self.refused(status, &body))
    }

    fn unreachable(&self, detail: String) -> ProxyError {
        ProxyError::Unreachable {
            url: self.url.clone(),
            detail: printable_line(&detail).into_owned(),
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> ProxyError {
        let url = self.url.clone();
        let detail: String = String::from_utf8_lossy(body)
            .trim()
            .chars()
            .take(200)
            .collect();
        let detail = printable_line(&detail).into_owned();
        match status {
            StatusCode::CONFLICT => ProxyError::Busy { url, detail },
            StatusCode::NOT_FOUND => ProxyError::Lost { url, detail },
            StatusCode::UNAUTHORIZED if detail.contains("admin token") => {
                ProxyError::WrongToken { url }
            }
            _ => ProxyError::Refused {
                url,
                status,
                detail,
            },
        }
    }
}

fn secret(token: &str) -> Result<Arc<HeaderValue>, http::Error> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(Arc::new(value))
}
