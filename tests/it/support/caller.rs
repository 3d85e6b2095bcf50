//! A client of HTTP/2 with one connection to the proxy.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use tokio::time::timeout;

use super::{proxy::TestProxy, wire::LONGEST};
use crate::kit::client::{Body, Target};

/// One connection, and the token of its requests.
pub struct Caller {
    target: Target,
    sender: SendRequest<Body>,
    token: String,
}

impl Caller {
    pub async fn connect(proxy: &TestProxy, token: &str) -> Self {
        let target = Target::new(&proxy.url, &proxy.authority);
        Self {
            sender: target.http2().await.unwrap(),
            target,
            token: token.to_owned(),
        }
    }

    pub async fn send(&self, method: Method, path: &str) -> hyper::Result<Response<Incoming>> {
        self.send_as(&self.token, method, path).await
    }

    /// Sends a request with another token.
    pub async fn send_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
    ) -> hyper::Result<Response<Incoming>> {
        self.send_body(token, method, path, Bytes::new()).await
    }

    pub async fn post(&self, path: &str, body: Bytes) -> hyper::Result<Response<Incoming>> {
        self.send_body(&self.token, Method::POST, path, body).await
    }

    async fn send_body(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> hyper::Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.target.address))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.into())
            .unwrap();
        let mut sender = self.sender.clone();
        timeout(LONGEST, sender.send_request(request))
            .await
            .expect("an answer")
    }

    /// A read that must succeed, to the end of its answer.
    pub async fn get(&self, path: &str) {
        let response = self.send(Method::GET, path).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.unwrap();
    }
}
