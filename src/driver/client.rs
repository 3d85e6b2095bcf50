//! The driver's own client of the API server. It counts its calls, which are part of no result,
//! and repeats none of them by itself.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http::{Request, Response};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
    client::Body,
};
use tower_service::Service;

use crate::workload::Kind;
use classify::{Target, classify};
use record::DriverCall;

/// Objects of a page of a list.
const PAGE: u32 = 500;

/// Calls by verb, resource and code.
type Calls = BTreeMap<(String, String, String), u64>;

/// Counts of a client's calls.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<Calls>>);

impl Tally {
    /// All counts so far.
    pub fn calls(&self) -> Vec<DriverCall> {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls
            .iter()
            .map(|((verb, resource, code), count)| DriverCall {
                verb: verb.clone(),
                resource: resource.clone(),
                code: code.clone(),
                count: *count,
            })
            .collect()
    }

    fn add(&self, verb: String, resource: String, code: String) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry((verb, resource, code)).or_default() += 1;
    }
}

/// A client whose calls are counted. `client` should not repeat calls by itself.
pub fn counted(client: Client, default_namespace: &str) -> (Client, Tally) {
    let tally = Tally::default();
    let service = Counted {
        client,
        tally: tally.clone(),
    };
    (Client::new(service, default_namespace), tally)
}

struct Counted {
    client: Client,
    tally: Tally,
}

impl Service<Request<Body>> for Counted {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (client, tally) = (self.client.clone(), self.tally.clone());
        Box::pin(async move {
            let (verb, resource) = name(&request);
            let answer = client.send(request).await;
            let code = match &answer {
                Ok(response) => response.status().as_str().to_owned(),
                Err(_) => "error".to_owned(),
            };
            tally.add(verb, resource, code);
            answer
        })
    }
}

fn name(request: &Request<Body>) -> (String, String) {
    let method = request.method().as_str();
    let target = request
        .uri()
        .path_and_query()
        .map_or("", |target| target.as_str());
    match Target::parse(method, target.as_bytes()) {
        Ok(target) => {
            let call = classify(method, &target);
            let mut resource = String::from_utf8_lossy(call.resource).into_owned();
            if !call.subresource.is_empty() {
                resource.push('/');
                resource.push_str(&String::from_utf8_lossy(call.subresource));
            }
            (call.verb.into_owned(), resource)
        }
        Err(_) => (method.to_lowercase(), String::new()),
    }
}

/// Objects of `kind` in a namespace.
pub fn api(client: &Client, namespace: &str, kind: Kind) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource(kind))
}

/// Looks at the objects of a list, a page after another; says whether those were all, since it ends
/// with the page by which there are `most`.
pub(super) async fn list_each(
    objects: &Api<DynamicObject>,
    asked: ListParams,
    most: usize,
    mut look: impl FnMut(DynamicObject),
) -> kube::Result<bool> {
    let mut asked = asked.limit(PAGE);
    for _ in 0..most.div_ceil(PAGE as usize) {
        let page = objects.list(&asked).await?;
        page.items.into_iter().for_each(&mut look);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(next) => asked.continue_token = Some(next),
            None => return Ok(true),
        }
    }
    Ok(false)
}

/// kube's description of a kind.
pub fn resource(kind: Kind) -> ApiResource {
    ApiResource {
        group: kind.group.to_owned(),
        version: kind.version.to_owned(),
        api_version: kind.api_version(),
        kind: kind.kind.to_owned(),
        plural: kind.plural.to_owned(),
    }
}
