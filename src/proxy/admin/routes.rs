//! Routes of the admin port.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{
    access,
    page::Page,
    pieces::Pieces,
    readiness,
    reply::{Content, JSON, Reply, json, reply, text, to_json},
    slots::ConnectionSlot,
    state::Admin,
};
use ledger::RunError;
use record::{JournalPosition, OpenRun};

/// Largest body of a request, and the time for it.
const BODY_MAX: usize = 64 << 10;
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Prometheus's text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Longest id of a run.
const RUN_ID_MAX: usize = 64;
/// Most answers about runs that are made at once.
const RUNS_MAX: usize = 2;
/// Threads that make answers: those, and one for each page.
pub(super) const THREADS: usize = RUNS_MAX + 2;

/// What all connections of the port share. Metrics, snapshots and details are made on threads of
/// their own, so that a probe waits for none of them.
pub(super) struct Routes {
    admin: Arc<Admin>,
    metrics: Page,
    snapshot: Page,
    runs: Arc<Semaphore>,
    is_loopback: bool,
}

impl Routes {
    /// With `is_loopback`, for a port that only this machine reaches. Needs a runtime.
    pub(super) fn new(admin: Arc<Admin>, is_loopback: bool) -> Self {
        let page = |render: fn(&Admin) -> Option<Pieces>| {
            let admin = Arc::clone(&admin);
            Page::new(move || render(&admin))
        };
        Self {
            metrics: page(metrics),
            snapshot: page(snapshot),
            admin,
            runs: Arc::new(Semaphore::new(RUNS_MAX)),
            is_loopback,
        }
    }

    pub(super) async fn answer(&self, slot: &ConnectionSlot, request: Request<Incoming>) -> Reply {
        if request.body().is_end_stream() {
            slot.note_request();
        }
        if self.is_loopback && !access::names_loopback(&request) {
            return text(
                StatusCode::FORBIDDEN,
                "this port listens on a loopback address: ask for localhost or a loopback address \
                 such as 127.0.0.1 or [::1]; no other Host is served\n",
            );
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/livez") => text(StatusCode::OK, "ok\n"),
            (&Method::GET | &Method::HEAD, "/readyz") => {
                readiness::answer(&self.admin.proxy, request.uri().query())
            }
            (&Method::GET | &Method::HEAD, "/metrics") => shared(&self.metrics, METRICS).await,
            _ if access::is_made_by_a_page(request.headers()) => text(
                StatusCode::FORBIDDEN,
                "no page of the web may ask for this\n",
            ),
            _ if !self.admin.is_authorized(request.headers()) => text(
                StatusCode::UNAUTHORIZED,
                "this needs the proxy's admin token as a bearer token\n",
            ),
            (&Method::GET, "/snapshot") => shared(&self.snapshot, JSON).await,
            (&Method::GET, "/requests") => self.make(recent).await,
            (_, path) => match path.strip_prefix("/runs/").map(str::to_owned) {
                Some(id) if is_run_id(&id) => self.runs(slot, id, request).await,
                Some(path) => match path.strip_suffix("/journal") {
                    Some(id) if is_run_id(id) => self.journal(id, &request).await,
                    _ => text(StatusCode::NOT_FOUND, "no such page\n"),
                },
                None => text(StatusCode::NOT_FOUND, "no such page\n"),
            },
        }
    }

    async fn runs(&self, slot: &ConnectionSlot, id: String, request: Request<Incoming>) -> Reply {
        match *request.method() {
            Method::PUT => match read_open_run(request.into_body()).await {
                Ok(asked) => {
                    slot.note_request();
                    self.make(move |admin| run_reply(admin.open_run(&id, &asked)))
                        .await
                }
                Err(refusal) => refusal,
            },
            Method::GET => {
                let query = request.uri().query().unwrap_or_default();
                let namespace = query.strip_prefix("namespace=").unwrap_or_default();
                let namespace = namespace.to_owned();
                self.make(move |admin| run_reply(admin.look_at_run(&id, &namespace)))
                    .await
            }
            Method::DELETE => {
                self.make(move |admin| run_reply(admin.close_run(&id)))
                    .await
            }
            _ => text(StatusCode::METHOD_NOT_ALLOWED, "PUT, GET or DELETE\n"),
        }
    }

    /// Lines name users and objects as they come: only who has the token gets them.
    async fn journal(&self, id: &str, request: &Request<Incoming>) -> Reply {
        if *request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, "GET\n");
        }
        if self.admin.token.load().is_none() {
            return text(
                StatusCode::FORBIDDEN,
                "lines of an open run are only for who has the admin token, and this proxy has none: \
                 start it with --admin-token-file\n",
            );
        }
        let Some(from) = position(request.uri().query().unwrap_or_default()) else {
            return text(
                StatusCode::BAD_REQUEST,
                "the query is lines=N&ends=N&clients=N, or nothing\n",
            );
        };
        let id = id.to_owned();
        self.make(move |admin| run_reply(admin.journal_page(&id, from)))
            .await
    }

    /// Makes an answer elsewhere than on the thread of the probes.
    async fn make(&self, answer: impl FnOnce(&Admin) -> Reply + Send + 'static) -> Reply {
        // A connection that ends while it waits leaves nothing behind: a queue of threads' tasks
        // would have no end.
        let permit = Arc::clone(&self.runs).acquire_owned().await;
        let admin = Arc::clone(&self.admin);
        let made = spawn_blocking(move || {
            let _permit = permit;
            answer(&admin)
        });
        made.await.unwrap_or_else(|error| {
            tracing::error!(%error, "making an answer ended badly");
            text(StatusCode::INTERNAL_SERVER_ERROR, "no answer\n")
        })
    }
}

async fn shared(page: &Page, content_type: &'static str) -> Reply {
    match page.get().await {
        Some(page) => reply(StatusCode::OK, content_type, Content::Shared(page, 0)),
        None => text(StatusCode::INTERNAL_SERVER_ERROR, "no answer\n"),
    }
}

/// Reads how a run is to be opened; an empty body means the defaults.
async fn read_open_run(body: Incoming) -> Result<OpenRun, Reply> {
    let read = timeout(BODY_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await;
    let Ok(read) = read else {
        return Err(text(
            StatusCode::REQUEST_TIMEOUT,
            "the request has no end\n",
        ));
    };
    let bytes = read.map(|body| body.to_bytes());
    let asked = bytes.ok().and_then(|bytes: Bytes| {
        if bytes.is_empty() {
            return Some(OpenRun::default());
        }
        serde_json::from_slice(&bytes).ok()
    });
    asked.ok_or_else(|| text(StatusCode::BAD_REQUEST, "not what opens a run\n"))
}

/// How far a reader has come, as its query says.
fn position(query: &str) -> Option<JournalPosition> {
    let mut position = JournalPosition::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let field = match name {
            "lines" => &mut position.lines,
            "ends" => &mut position.ends,
            "clients" => &mut position.clients,
            _ => return None,
        };
        *field = value.parse().ok()?;
    }
    Some(position)
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

fn recent(admin: &Admin) -> Reply {
    match admin.recent() {
        Some(recent) => json(StatusCode::OK, &recent),
        None => text(
            StatusCode::NOT_FOUND,
            "this proxy keeps no requests: start it with --recorder N\n",
        ),
    }
}

fn metrics(admin: &Admin) -> Option<Pieces> {
    let text = admin.exporter.text();
    text.inspect_err(|error| tracing::error!(%error, "cannot write the metrics"))
        .ok()
}

fn snapshot(admin: &Admin) -> Option<Pieces> {
    to_json(&admin.snapshot())
}
