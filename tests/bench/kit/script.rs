//! Answers that are known in advance, and watches that hear of each write.

use std::{collections::HashMap, convert::Infallible};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::Incoming;
use tokio::sync::broadcast;

/// Events that a watch may be behind.
const BEHIND_MAX: usize = 1 << 14;

/// What is answered to a request.
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    /// What a watch then hears: path and query of the watch, and the event.
    pub event: Option<(&'static str, Bytes)>,
}

/// The answers by method, path and query.
#[derive(Default)]
pub struct Script {
    answers: HashMap<(Method, String), Answer>,
    watches: HashMap<&'static str, broadcast::Sender<Bytes>>,
}

impl Script {
    pub fn add(&mut self, request: (Method, String), answer: Answer) {
        if let Some((watch, _)) = &answer.event {
            let new = || broadcast::channel(BEHIND_MAX).0;
            self.watches.entry(watch).or_insert_with(new);
        }
        self.answers.insert(request, answer);
    }

    /// Answers a request, if it is known; gives it back if not.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<BoxBody<Bytes, Infallible>>, Request<Incoming>> {
        let path = request.uri().path_and_query().unwrap().as_str();
        if let Some(watch) = self.watches.get(path) {
            return Ok(response(StatusCode::OK, events(watch.subscribe())));
        }
        let key = (request.method().clone(), path.to_owned());
        let Some(answer) = self.answers.get(&key) else {
            return Err(request);
        };
        // A body that breaks off is a client that left.
        let _ = request.into_body().collect().await;
        if let Some((watch, event)) = &answer.event {
            // Nobody may be watching.
            let _ = self.watches[watch].send(event.clone());
        }
        let body = Full::from(answer.body.clone()).boxed();
        Ok(response(answer.status, body))
    }
}

/// With the headers that kube-apiserver adds.
fn response(
    status: StatusCode,
    body: BoxBody<Bytes, Infallible>,
) -> Response<BoxBody<Bytes, Infallible>> {
    Response::builder()
        .status(status)
        .header(header::CACHE_CONTROL, "no-cache, private")
        .header(header::CONTENT_TYPE, "application/json")
        .header(
            "x-kubernetes-pf-flowschema-uid",
            "5bb5ca5c-0b23-4b37-9fd1-5b0e8f5c5d0e",
        )
        .header(
            "x-kubernetes-pf-prioritylevel-uid",
            "0e5d5c8f-5b0e-9fd1-4b37-0b235bb5ca5c",
        )
        .body(body)
        .unwrap()
}

fn events(watch: broadcast::Receiver<Bytes>) -> BoxBody<Bytes, Infallible> {
    let frames = stream::unfold(watch, |mut watch| async move {
        let event = watch.recv().await.ok()?;
        Some((Ok(Frame::data(event)), watch))
    });
    BodyExt::boxed(StreamBody::new(Box::pin(frames)))
}
