//! A client that notes each call, in the words of the recorded runs.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use tower_service::Service;

/// Component, verb, resource with subresource, code.
pub(super) type Row = (&'static str, String, String, u16);

/// All calls so far.
#[derive(Clone, Default)]
pub(super) struct Counts(Arc<Mutex<BTreeMap<Row, usize>>>);

impl Counts {
    /// A client whose calls count for `component`.
    pub(super) fn client(&self, component: &'static str, inner: &Client) -> Client {
        let counting = Counting {
            component,
            inner: inner.clone(),
            counts: self.clone(),
        };
        Client::new(counting, "default")
    }

    /// The calls since the last time.
    pub(super) fn take(&self) -> BTreeMap<Row, usize> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Counting {
    component: &'static str,
    inner: Client,
    counts: Counts,
}

impl Service<Request<Body>> for Counting {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (inner, counts, component) = (self.inner.clone(), self.counts.clone(), self.component);
        Box::pin(async move {
            let query = request.uri().query().unwrap_or_default();
            let (verb, resource) = classify(request.method(), request.uri().path(), query);
            let answer = inner.send(request).await?;
            let row = (component, verb, resource, answer.status().as_u16());
            *counts.0.lock().unwrap().entry(row).or_default() += 1;
            Ok(answer)
        })
    }
}

fn classify(method: &Method, path: &str, query: &str) -> (String, String) {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    parts.drain(..if parts[0] == "api" { 2 } else { 3 });
    if parts[0] == "namespaces" && parts.len() > 2 {
        parts.drain(..2);
    }
    let verb = match (method.as_str(), parts.len()) {
        ("GET", _) if query.contains("watch=true") => "watch",
        ("GET", 1) => "list",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", 1) => "deletecollection",
        _ => "delete",
    };
    let mut resource = parts[0].to_owned();
    if let Some(subresource) = parts.get(2) {
        resource = format!("{resource}/{subresource}");
    }
    (verb.to_owned(), resource)
}

#[test]
fn calls_are_named_as_in_an_audit_log() {
    let named = |method: Method, path: &str, query: &str| {
        let (verb, resource) = classify(&method, path, query);
        format!("{verb} {resource}")
    };
    let vms = "/apis/kubevirt.io/v1/namespaces/density/virtualmachines";
    assert_eq!(
        named(Method::PUT, &format!("{vms}/a/status"), ""),
        "update virtualmachines/status"
    );
    assert_eq!(
        named(Method::GET, "/api/v1/pods", "&watch=true"),
        "watch pods"
    );
    assert_eq!(named(Method::GET, vms, "limit=5"), "list virtualmachines");
    assert_eq!(named(Method::PATCH, "/api/v1/nodes/n", ""), "patch nodes");
}
