//! Watches whose events are numbered and carry the time at which they were sent.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2::SendRequest},
};
use tokio::task::JoinSet;

use super::{
    client::{Body, Target},
    upstream::now_nanos,
};

/// An open watch.
pub struct Watch {
    body: Incoming,
    rest: Vec<u8>,
    next: u64,
}

/// Opens a watch; `query` says what it sends. `None` if it is not opened.
pub async fn open(sender: &mut SendRequest<Body>, target: &Target, query: &str) -> Option<Watch> {
    let path = format!("/api/v1/pods?watch=1&{query}");
    sender.ready().await.ok()?;
    let request = target.request(Method::GET, &path, b"");
    let response = sender.send_request(request).await.ok()?;
    (response.status() == StatusCode::OK).then(|| Watch::new(response.into_body()))
}

/// Opens a watch on an HTTP/1.1 connection of its own, which lasts as long as the sender.
pub async fn open_http1(target: &Target, query: &str) -> (http1::SendRequest<Body>, Watch) {
    let mut sender = target.http1().await.unwrap();
    let path = format!("/api/v1/pods?watch=1&{query}");
    let request = target.request_http1(Method::GET, &path, b"");
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    (sender, Watch::new(response.into_body()))
}

/// Opens `count` watches on each of `connections` connections.
pub async fn open_many(
    target: &Target,
    connections: usize,
    count: usize,
    query: &str,
) -> (Vec<SendRequest<Body>>, Vec<Watch>) {
    let (mut senders, mut watches) = (Vec::new(), Vec::new());
    for _ in 0..connections {
        let sender = target.http2().await.unwrap();
        let mut opening = JoinSet::new();
        for _ in 0..count {
            let (mut sender, target, query) = (sender.clone(), target.clone(), query.to_owned());
            opening.spawn(async move { open(&mut sender, &target, &query).await.unwrap() });
        }
        watches.extend(opening.join_all().await);
        senders.push(sender);
    }
    (senders, watches)
}

impl Watch {
    fn new(body: Incoming) -> Self {
        Self {
            body,
            rest: Vec::new(),
            next: 0,
        }
    }

    /// Reads events until there have been `count`, or to the end. Gives how long each was on its
    /// way. Panics if one is missing, repeated or out of order.
    pub async fn read(&mut self, count: u64) -> Vec<Duration> {
        self.read_slowly(count, 0, Duration::ZERO).await
    }

    /// The same, with a `pause` after each `frames` frames.
    pub async fn read_slowly(&mut self, count: u64, frames: u64, pause: Duration) -> Vec<Duration> {
        let (mut delays, mut frame_count) = (Vec::new(), 0);
        while self.next < count {
            let Some(frame) = self.body.frame().await else {
                break;
            };
            if let Some(data) = frame.unwrap().data_ref() {
                self.take(data, &mut delays);
            }
            frame_count += 1;
            if frames > 0 && frame_count % frames == 0 {
                tokio::time::sleep(pause).await;
            }
        }
        delays
    }

    /// Reads what comes within this time. Gives how long each event was on its way.
    pub async fn read_for(&mut self, time: Duration) -> Vec<Duration> {
        let mut delays = Vec::new();
        let end = tokio::time::Instant::now() + time;
        while let Ok(Some(frame)) = tokio::time::timeout_at(end, self.body.frame()).await {
            if let Some(data) = frame.unwrap().data_ref() {
                self.take(data, &mut delays);
            }
        }
        delays
    }

    /// Reads `count` events; `None` if the watch fails or ends before.
    pub async fn try_read(&mut self, count: u64) -> Option<()> {
        let mut delays = Vec::new();
        while self.next < count {
            if let Some(data) = self.body.frame().await?.ok()?.data_ref() {
                self.take(data, &mut delays);
            }
        }
        Some(())
    }

    fn take(&mut self, data: &[u8], delays: &mut Vec<Duration>) {
        let now = now_nanos();
        self.rest.extend_from_slice(data);
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let event: Vec<u8> = self.rest.drain(..=end).collect();
            let event = std::str::from_utf8(&event).unwrap();
            let mut words = event.split(' ').map(str::parse::<u64>);
            let number = words.next().unwrap().unwrap();
            let sent = words.next().unwrap().unwrap();
            assert_eq!(number, self.next, "an event is missing or out of order");
            self.next += 1;
            delays.push(Duration::from_nanos(now.saturating_sub(sent)));
        }
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.next
    }
}

/// Durations in order, by nearest rank.
pub struct Delays(Vec<Duration>);

impl Delays {
    pub fn new(mut delays: Vec<Duration>) -> Self {
        assert!(!delays.is_empty());
        delays.sort_unstable();
        Self(delays)
    }

    /// The `percent`th percentile.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0[rank - 1]
    }

    pub fn max(&self) -> Duration {
        self.0[self.0.len() - 1]
    }
}

impl std::fmt::Display for Delays {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |delay: Duration| delay.as_secs_f64() * 1e3;
        let [p50, p99, p100] = [self.percentile(50), self.percentile(99), self.max()].map(ms);
        write!(
            formatter,
            "p50 {p50:.3} ms, p99 {p99:.3} ms, max {p100:.3} ms, {} measured",
            self.0.len()
        )
    }
}

/// Waits for `condition`, at the longest for `longest`; how long it took, if it came true.
pub async fn until(longest: Duration, mut condition: impl FnMut() -> bool) -> Option<Duration> {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > longest {
            return None;
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    Some(started.elapsed())
}
