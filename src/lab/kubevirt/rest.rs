//! One component's calls to the API server.

use http::{Method, Request, header};
use kube::Client;
use kube::core::{ApiResource, DynamicObject, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::object::Key;

const JSON: &str = "application/json";

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The API server said no.
    #[error("{method} {path}: {code} {message}")]
    Refused {
        method: Method,
        path: String,
        code: u16,
        message: String,
    },
    /// There was no answer, or none that could be read.
    #[error("{method} {path}: {source}")]
    Failed {
        method: Method,
        path: String,
        source: Box<kube::Error>,
    },
    /// Nothing was asked: there is something to wait for.
    #[error("{0}")]
    NotYet(&'static str),
}

impl CallError {
    /// The HTTP status, 0 without one.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::Refused { code, .. } => *code,
            Self::Failed { .. } | Self::NotYet(_) => 0,
        }
    }

    /// Whether the object was overtaken (409, 422 of a JSON patch's test) or is gone: the order of the day of a
    /// controller, that the next attempt settles.
    pub(crate) fn is_routine(&self) -> bool {
        matches!(self, Self::NotYet(_)) || matches!(self.code(), 404 | 409 | 422)
    }
}

/// How a patch is to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PatchKind {
    /// RFC 6902.
    Json,
    /// Kubernetes's own, for its native types.
    Strategic,
}

impl PatchKind {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
        }
    }
}

/// The calls of one component, under its identity.
#[derive(Clone)]
pub(crate) struct Rest {
    client: Client,
}

impl Rest {
    pub(crate) const fn new(client: Client) -> Self {
        Self { client }
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) async fn get(
        &self,
        resource: &ApiResource,
        key: &Key,
    ) -> Result<DynamicObject, CallError> {
        let path = object_path(resource, key, "");
        self.call(Method::GET, path, JSON, vec![]).await
    }

    pub(crate) async fn create(
        &self,
        resource: &ApiResource,
        namespace: &str,
        object: &Value,
    ) -> Result<DynamicObject, CallError> {
        let path = collection_path(resource, namespace);
        self.call(Method::POST, path, JSON, bytes(object)).await
    }

    /// Replaces the object; its resourceVersion must be the newest one.
    pub(crate) async fn replace(
        &self,
        resource: &ApiResource,
        object: &DynamicObject,
        subresource: &str,
    ) -> Result<DynamicObject, CallError> {
        let path = object_path(resource, &Key::of(object), subresource);
        let body = serde_json::to_vec(object).expect("a DynamicObject is JSON");
        self.call(Method::PUT, path, JSON, body).await
    }

    pub(crate) async fn patch(
        &self,
        resource: &ApiResource,
        (key, subresource): (&Key, &str),
        kind: PatchKind,
        patch: &Value,
    ) -> Result<DynamicObject, CallError> {
        let path = object_path(resource, key, subresource);
        self.call(Method::PATCH, path, kind.content_type(), bytes(patch))
            .await
    }

    /// Deletes the object; what is gone already counts as deleted.
    pub(crate) async fn delete(
        &self,
        resource: &ApiResource,
        key: &Key,
        options: &Value,
    ) -> Result<(), CallError> {
        let path = object_path(resource, key, "");
        let answer: Result<Value, _> = self.call(Method::DELETE, path, JSON, bytes(options)).await;
        match answer {
            Err(error) if error.code() != 404 => Err(error),
            _ => Ok(()),
        }
    }

    /// Assigns a pod to a node.
    pub(crate) async fn bind(&self, key: &Key, binding: &Value) -> Result<(), CallError> {
        let path = object_path(&super::resources::PODS, key, "binding");
        let answer: Value = self.call(Method::POST, path, JSON, bytes(binding)).await?;
        tracing::trace!(pod = %key, kind = %answer["kind"], "bound");
        Ok(())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<T, CallError> {
        let mut request = Request::builder().method(&method).uri(&path);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request
            .body(body)
            .expect("method, path and content type are valid");
        match self.client.request(request).await {
            Ok(object) => Ok(object),
            Err(kube::Error::Api(status)) => Err(CallError::Refused {
                method,
                path,
                code: status.code,
                message: status.message,
            }),
            Err(source) => Err(CallError::Failed {
                method,
                path,
                source: Box::new(source),
            }),
        }
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a Value is JSON")
}

fn collection_path(resource: &ApiResource, namespace: &str) -> String {
    let namespace = (!namespace.is_empty()).then_some(namespace);
    DynamicObject::url_path(resource, namespace)
}

fn object_path(resource: &ApiResource, key: &Key, subresource: &str) -> String {
    let mut path = format!("{}/{}", collection_path(resource, &key.namespace), key.name);
    if !subresource.is_empty() {
        path.push('/');
        path.push_str(subresource);
    }
    path
}
