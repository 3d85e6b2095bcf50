//! What the proxy says itself, in Kubernetes's words.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Version, header};
use http_body_util::Full;
use serde_json::json;

use ledger::Reason;

/// Tells an operator that the proxy and not the API server speaks.
const ERROR_HEADER: &str = "x-kubetoll-error";

/// An answer of the proxy's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnAnswer {
    pub(super) status: StatusCode,
    pub(super) reason: Reason,
    pub(super) message: String,
    /// Only where the request was provably not sent: clients repeat any verb on this.
    pub(super) retry: bool,
    /// Whether an HTTP/1.1 connection ends, so that nothing behind the request can be taken for
    /// another one.
    pub(super) close: bool,
}

impl OwnAnswer {
    /// The request is nothing that may be forwarded.
    pub(super) fn refused(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: Reason::Refused,
            message: message.into(),
            retry: false,
            close: true,
        }
    }

    /// The request was not sent. A watch gets 429: a client-go reflector then watches again where
    /// it was, while 503 would make it list everything.
    pub(super) fn unavailable(reason: Reason, message: String, is_watch: bool) -> Self {
        Self {
            status: if is_watch {
                StatusCode::TOO_MANY_REQUESTS
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            },
            reason,
            message,
            retry: true,
            close: false,
        }
    }

    /// A `metav1.Status`.
    pub(super) fn into_response(self, version: Version) -> Response<Full<Bytes>> {
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": format!("kubetoll-proxy: {}", self.message),
            "reason": kubernetes_reason(self.status),
            "code": self.status.as_u16(),
        });
        let mut response = Response::new(Full::from(status.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let reason = HeaderValue::from_static(self.reason.as_str());
        headers.insert(ERROR_HEADER, reason);
        if self.close && version < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            headers.insert(header::CONNECTION, close);
        }
        if self.retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn kubernetes_reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "BadRequest",
        StatusCode::UNAUTHORIZED => "Unauthorized",
        StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        _ => "InternalError",
    }
}
