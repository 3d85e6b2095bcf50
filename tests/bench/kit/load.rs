//! Clients of a mixed load: requests, some of them given up, watches and tunnels.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{client::Target, watch::open};

const LONGEST: Duration = Duration::from_secs(30);
/// Workers of each kind.
const WORKERS: u64 = 4;

/// What the clients saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub answered: AtomicU64,
    pub failed: AtomicU64,
    pub cancelled: AtomicU64,
    pub events: AtomicU64,
    pub tunnels: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// A client of the load: it works until it is told to stop, whatever fails.
#[derive(Clone)]
pub struct Worker {
    pub target: Target,
    pub seen: Arc<Seen>,
    pub stop: CancellationToken,
}

impl Worker {
    /// Starts workers of each kind.
    pub fn start_all(&self, seed: u64) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for number in 0..WORKERS {
            let random = |kind: u64| StdRng::seed_from_u64(seed * 1_000 + number * 10 + kind);
            tasks.spawn(self.clone().requests_http2(random(0)));
            tasks.spawn(self.clone().requests_http1(random(1)));
            tasks.spawn(self.clone().watches(random(2)));
            tasks.spawn(self.clone().tunnels(random(3)));
        }
        tasks
    }

    /// Works until the end, over one connection after the other.
    async fn run<F: Future<Output = Option<()>>>(&self, mut connection: impl FnMut() -> F) {
        while !self.stop.is_cancelled() {
            let done = self.stop.run_until_cancelled(connection()).await;
            if done == Some(None) {
                add(&self.seen.failed, 1);
                let _ = self
                    .stop
                    .run_until_cancelled(sleep(Duration::from_millis(50)))
                    .await;
            }
        }
    }

    /// Requests of all methods, some of which are given up on the way.
    async fn requests_http2(self, mut random: StdRng) {
        let seed = random.random();
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        let next = || random.lock().unwrap().random::<u32>();
        self.run(|| async {
            let mut sender = timeout(LONGEST, self.target.http2()).await.ok()?.ok()?;
            for _ in 0..200 {
                let (method, path) = request(next());
                let request = self
                    .target
                    .request(method, &path, b"{\"kind\":\"ConfigMap\"}");
                sender.ready().await.ok()?;
                let answer = async {
                    let response = sender.send_request(request).await.ok()?;
                    response.into_body().collect().await.ok()
                };
                self.maybe_cancelled(next(), answer).await?;
            }
            Some(())
        })
        .await;
    }

    async fn requests_http1(self, random: StdRng) {
        let random = Mutex::new(random);
        let next = || random.lock().unwrap().random::<u32>();
        self.run(|| async {
            let mut sender = timeout(LONGEST, self.target.http1()).await.ok()?.ok()?;
            for _ in 0..50 {
                let (method, path) = request(next());
                let request = self.target.request_http1(method, &path, b"{}");
                sender.ready().await.ok()?;
                let answer = async {
                    let response = sender.send_request(request).await.ok()?;
                    response.into_body().collect().await.ok()
                };
                self.maybe_cancelled(next(), answer).await?;
            }
            Some(())
        })
        .await;
    }

    /// One request in ten is given up after some milliseconds.
    async fn maybe_cancelled<T>(
        &self,
        random: u32,
        answer: impl Future<Output = Option<T>>,
    ) -> Option<()> {
        sleep(Duration::from_millis(u64::from(random % 20))).await;
        if random.is_multiple_of(10) {
            let patience = Duration::from_micros(u64::from(random / 10 % 3_000));
            if timeout(patience, answer).await.is_err() {
                add(&self.seen.cancelled, 1);
                return Some(());
            }
            return Some(());
        }
        timeout(LONGEST, answer).await.ok()??;
        add(&self.seen.answered, 1);
        Some(())
    }

    /// Watches on one connection, each for some events.
    async fn watches(self, random: StdRng) {
        let random = Mutex::new(random);
        self.run(|| async {
            let sender = timeout(LONGEST, self.target.http2()).await.ok()?.ok()?;
            let mut reading = JoinSet::new();
            for _ in 0..20 {
                let events = random.lock().unwrap().random_range(1..100);
                let (mut sender, worker) = (sender.clone(), self.clone());
                reading.spawn(async move {
                    let mut watch =
                        open(&mut sender, &worker.target, "every=20000&bytes=200").await?;
                    let read = watch.try_read(events).await;
                    add(&worker.seen.events, watch.events());
                    read
                });
            }
            let all = reading.join_all().await;
            all.into_iter().all(|read| read.is_some()).then_some(())
        })
        .await;
    }

    /// One tunnel after the other, each echoing some messages.
    async fn tunnels(self, random: StdRng) {
        let random = Mutex::new(random);
        self.run(|| async {
            let messages = random.lock().unwrap().random_range(1..20);
            let mut sender = timeout(LONGEST, self.target.http1()).await.ok()?.ok()?;
            let path = "/api/v1/namespaces/n/pods/p/exec?command=cat";
            let mut request = self.target.request_http1(Method::GET, path, b"");
            let headers = request.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            let response = timeout(LONGEST, sender.send_request(request))
                .await
                .ok()?
                .ok()?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return None;
            }
            let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.ok()?);
            for _ in 0..messages {
                let mut got = [0; 1_000];
                tunnel.write_all(&[b'm'; 1_000]).await.ok()?;
                timeout(LONGEST, tunnel.read_exact(&mut got))
                    .await
                    .ok()?
                    .ok()?;
                sleep(Duration::from_millis(10)).await;
            }
            add(&self.seen.tunnels, 1);
            Some(())
        })
        .await;
    }
}

/// Some request of a component.
fn request(random: u32) -> (Method, String) {
    let name = random / 100 % 50;
    let object = format!("/api/v1/namespaces/n/configmaps/c{name}");
    match random % 8 {
        0 => (Method::POST, "/api/v1/namespaces/n/configmaps".to_owned()),
        1 => (Method::PUT, object),
        2 => (Method::PATCH, object),
        3 => (Method::DELETE, object),
        4 => (
            Method::GET,
            "/apis/apps/v1/deployments?bytes=100000".to_owned(),
        ),
        5 => (
            Method::GET,
            "/api/v1/namespaces/n/configmaps/missing".to_owned(),
        ),
        6 => (Method::GET, format!("{object}?delay=5")),
        _ => (Method::GET, object),
    }
}
