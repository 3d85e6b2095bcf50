//! Routes of the admin port.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;

use super::Admin;
use crate::{
    ledger::RunError,
    record::{ADMIN_TOKEN_HEADER, OpenRun},
};

/// Most connections at once; a slow scraper must not cost more.
const CONNECTIONS_MAX: usize = 64;
/// Largest body of a request.
const BODY_MAX: usize = 64 << 10;
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest id of a run.
const RUN_ID_MAX: usize = 64;

/// Serves the admin port until `stop`.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>, stop: CancellationToken) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            continue;
        };
        let (admin, stop) = (Arc::clone(&admin), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, std::convert::Infallible>(answer(&admin, request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // A client that breaks off is its own affair.
            let _ = stop.run_until_cancelled(connection).await;
            drop(permit);
        });
    }
}

type Reply = Response<Full<Bytes>>;

async fn answer(admin: &Admin, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    match (&method, path.as_str()) {
        (&Method::GET | &Method::HEAD, "/livez") => text(StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if admin.proxy.is_leaving() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        }
        (&Method::GET | &Method::HEAD, "/readyz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/metrics") => metrics(admin),
        _ if !admin.admits(&request) => text(
            StatusCode::UNAUTHORIZED,
            "this needs the proxy's admin token as a bearer token\n",
        ),
        (&Method::GET, "/snapshot") => {
            json(StatusCode::OK, &admin.record(admin.proxy.books.snapshot()))
        }
        (_, path) => match path.strip_prefix("/runs/") {
            Some(id) if is_run_id(id) => runs(admin, &method, id, request).await,
            _ => text(StatusCode::NOT_FOUND, "no such page\n"),
        },
    }
}

async fn runs(admin: &Admin, method: &Method, id: &str, request: Request<Incoming>) -> Reply {
    match *method {
        Method::PUT => {
            let body = Limited::new(request.into_body(), BODY_MAX).collect().await;
            let asked = body.ok().and_then(|body| {
                let bytes = body.to_bytes();
                if bytes.is_empty() {
                    return Some(OpenRun::default());
                }
                serde_json::from_slice(&bytes).ok()
            });
            match asked {
                Some(asked) => run_reply(admin.open_run(id, &asked)),
                None => text(StatusCode::BAD_REQUEST, "not what opens a run\n"),
            }
        }
        Method::GET => {
            let query = request.uri().query().unwrap_or_default();
            let namespace = query.strip_prefix("namespace=").unwrap_or_default();
            run_reply(admin.look_at_run(id, namespace))
        }
        Method::DELETE => run_reply(admin.close_run(id)),
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "PUT, GET or DELETE\n"),
    }
}

fn is_run_id(id: &str) -> bool {
    (1..=RUN_ID_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn run_reply(result: Result<impl Serialize, RunError>) -> Reply {
    match result {
        Ok(value) => json(StatusCode::OK, &value),
        Err(error @ RunError::Busy(_)) => text(StatusCode::CONFLICT, &format!("{error}\n")),
        Err(error @ RunError::Unknown(_)) => text(StatusCode::NOT_FOUND, &format!("{error}\n")),
    }
}

fn metrics(admin: &Admin) -> Reply {
    match admin.exporter.text() {
        Ok(body) => reply(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            body,
        ),
        Err(error) => {
            tracing::error!(%error, "cannot write the metrics");
            text(StatusCode::INTERNAL_SERVER_ERROR, "no metrics\n")
        }
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => reply(status, "application/json", body),
        Err(error) => {
            tracing::error!(%error, "cannot write JSON");
            text(StatusCode::INTERNAL_SERVER_ERROR, "no answer\n")
        }
    }
}

fn text(status: StatusCode, body: &str) -> Reply {
    reply(
        status,
        "text/plain; charset=utf-8",
        body.as_bytes().to_vec(),
    )
}

fn reply(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Reply {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let content_type = http::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

impl Admin {
    fn admits(&self, request: &Request<Incoming>) -> bool {
        let Some(token) = &*self.token.load() else {
            return true;
        };
        let presented = [header::AUTHORIZATION.as_str(), ADMIN_TOKEN_HEADER];
        let mut presented = presented.into_iter().filter_map(|name| {
            request
                .headers()
                .get(name)?
                .as_bytes()
                .strip_prefix(b"Bearer ")
        });
        presented.any(|presented| same(presented, token))
    }
}

/// Compares without telling by its time where the difference is.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .fold(0, |difference, (one, other)| difference | (one ^ other))
            == 0
}
