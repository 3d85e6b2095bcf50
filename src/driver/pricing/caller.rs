//! Makes single calls, and counts their bytes.

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use serde_json::Value;

use super::{error::PricingError, meter::MeterError};

/// A call that is to be made.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) content_type: &'static str,
    pub(super) accept: &'static str,
    pub(super) body: Bytes,
    /// Whether the answer goes on until the client ends it.
    is_watch: bool,
}

/// What a call came to.
pub(super) struct Answer {
    pub(super) code: u16,
    /// Bytes of both bodies.
    pub(super) bytes: u64,
    pub(super) body: Bytes,
}

const JSON: &str = "application/json";
/// As clients ask for all groups and resources at once.
const DISCOVERY: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
const JSON_PATCH: &str = "application/json-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";

impl Call {
    pub(super) fn get(path: String) -> Self {
        Self::new(Method::GET, path, JSON, Bytes::new())
    }

    /// Opens a watch, and ends it.
    pub(super) fn watch(path: String) -> Self {
        Self {
            is_watch: true,
            ..Self::get(path)
        }
    }

    /// A get of what an API server serves.
    pub(super) fn discovery(path: String) -> Self {
        Self {
            accept: DISCOVERY,
            ..Self::get(path)
        }
    }

    pub(super) fn post(path: String, body: &Value) -> Self {
        Self::new(Method::POST, path, JSON, body.to_string().into())
    }

    pub(super) fn put(path: String, body: &Value) -> Self {
        Self::new(Method::PUT, path, JSON, body.to_string().into())
    }

    pub(super) fn json_patch(path: String, body: &Value) -> Self {
        Self::new(Method::PATCH, path, JSON_PATCH, body.to_string().into())
    }

    pub(super) fn merge_patch(path: String, body: &Value) -> Self {
        Self::new(Method::PATCH, path, MERGE_PATCH, body.to_string().into())
    }

    pub(super) fn strategic_patch(path: String, body: &Value) -> Self {
        let body = body.to_string().into();
        Self::new(Method::PATCH, path, STRATEGIC_PATCH, body)
    }

    /// At once: nothing waits for a grace period.
    pub(super) fn delete(path: String) -> Self {
        let body = Bytes::from_static(br#"{"gracePeriodSeconds":0}"#);
        Self::new(Method::DELETE, path, JSON, body)
    }

    fn new(method: Method, path: String, content_type: &'static str, body: Bytes) -> Self {
        Self {
            method,
            path,
            content_type,
            accept: JSON,
            body,
            is_watch: false,
        }
    }

    /// Makes it.
    pub(super) async fn send(self, client: &Client) -> Result<Answer, PricingError> {
        let sent = self.body.len() as u64;
        let request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(header::CONTENT_TYPE, self.content_type)
            .header(header::ACCEPT, self.accept)
            .body(Body::from(self.body))
            .map_err(|error| PricingError::Call(error.to_string()))?;
        let response = client.send(request).await?;
        let code = response.status().as_u16();
        if self.is_watch && code == 200 {
            return Ok(Answer {
                code,
                bytes: sent,
                body: Bytes::new(),
            });
        }
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer {
            code,
            bytes: sent + body.len() as u64,
            body,
        })
    }
}

/// The API server's `/metrics`.
pub(super) async fn metrics_page(client: &Client) -> Result<Bytes, PricingError> {
    let answer = Call::get("/metrics".to_owned()).send(client).await?;
    match answer.code {
        200 => Ok(answer.body),
        403 => Err(MeterError::Forbidden.into()),
        code => Err(MeterError::Metrics(format!("answered {code}")).into()),
    }
}

impl Answer {
    pub(super) fn object(&self) -> Result<Value, PricingError> {
        serde_json::from_slice(&self.body).map_err(|error| PricingError::Call(error.to_string()))
    }
}
