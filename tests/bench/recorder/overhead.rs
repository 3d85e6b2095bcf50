//! The proxy's CPU for a request, with and without lines and bodies: each state is measured once a
//! round, and compared with the state of the same process that has one thing less.
//!
//! Whatever else a machine does makes a request dearer, never cheaper, so that the quiet rounds say
//! what it costs. The spread is over all rounds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use record::OpenRun;
use tokio::{task::JoinSet, time::sleep};

use crate::kit::{
    client::{Body, Target, service_account_token},
    cpu::ProcessTime,
    mix::{self, Call, Component},
    program,
    proxy::ProxyProcess,
    upstream::Upstream,
};

/// How much more CPU a request may need: for its line, and for reading its bodies too.
const LINES_TARGET: f64 = 0.05;
const BODIES_TARGET: f64 = 0.15;
const ROUNDS: usize = 24;
const INSTANCES: usize = 100;
/// Requests at once on each connection.
const AT_ONCE: usize = 4;
/// All resources of the mix.
const NEVER: &str = "pods,events,leases.coordination.k8s.io,virtualmachineinstances.kubevirt.io";

/// What a proxy keeps while it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The books alone.
    Closed,
    /// A run is open.
    Run,
    /// It has a journal.
    Journal,
}

/// CPU for a request in each round, in microseconds.
type Figures = Vec<f64>;

/// Prints what a request costs in each state.
pub async fn measure() -> bool {
    let calls: Arc<[Call]> = mix::calls(INSTANCES).into();
    let upstream = Upstream::start_with(mix::script(&calls)).await;
    let reading = Bench::start(&upstream, &calls, &[]);
    let lines_only = Bench::start(&upstream, &calls, &["--journal-never", NEVER]);
    let states = [
        (&reading, State::Closed),
        (&reading, State::Run),
        (&reading, State::Journal),
        (&lines_only, State::Run),
        (&lines_only, State::Journal),
    ];
    let mut found = [const { Figures::new() }; 5];
    // The first round says how long opening takes.
    for round in 0..=ROUNDS {
        for step in 0..states.len() {
            // Each comes first once.
            let place = (round + step) % states.len();
            let (bench, state) = states[place];
            let figure = bench.figure(state).await;
            if round > 0 {
                found[place].push(figure);
            }
            upstream.records.take_answers();
        }
    }
    println!(
        "{ROUNDS} rounds of {} requests in each state, HTTP/2, 3 connections x {AT_ONCE} at once, \
         {:.1} events of watches a request",
        calls.len(),
        events_per_request(&calls)
    );
    report(&found)
}

fn report([closed, run, bodies, lines_run, lines]: &[Figures; 5]) -> bool {
    println!("  nothing open: {:.1} us of CPU a request", quiet(closed));
    more("a run", run, closed);
    let for_lines = more("a journal, bodies not read", lines, lines_run);
    let for_bodies = more("a journal, bodies read", bodies, run);
    println!("  a line: {:.1} us", quiet(lines) - quiet(lines_run));
    let percent = |ratio: f64| format!("{:.1} %", ratio * 100.0);
    let lines = format!("lines add {}", percent(for_lines));
    let bodies = format!("lines and reading of bodies add {}", percent(for_bodies));
    program::judge(for_lines <= LINES_TARGET, &lines)
        & program::judge(for_bodies <= BODIES_TARGET, &bodies)
}

/// Prints how much more a state needs than another one in quiet rounds, with the middle half of what
/// all rounds say.
fn more(name: &str, state: &Figures, other: &Figures) -> f64 {
    let rounds = state.iter().zip(other);
    let ratios = sorted(rounds.map(|(state, other)| state / other - 1.0).collect());
    let ratio = quiet(state) / quiet(other) - 1.0;
    println!(
        "  {name}: {:.1} us of CPU a request, {:+.1} % ({:+.1} to {:+.1})",
        quiet(state),
        ratio * 100.0,
        ratios[ROUNDS / 4] * 100.0,
        ratios[ROUNDS * 3 / 4] * 100.0
    );
    ratio
}

/// The middle one of the quieter quarter of all rounds.
fn quiet(figures: &Figures) -> f64 {
    sorted(figures.clone())[ROUNDS / 8]
}

fn sorted(mut figures: Figures) -> Figures {
    figures.sort_by(f64::total_cmp);
    figures
}

fn events_per_request(calls: &[Call]) -> f64 {
    let watches = Component::ALL.iter().flat_map(|one| one.watches());
    let events: usize = watches.map(|watch| mix::events(calls, watch)).sum();
    events as f64 / calls.len() as f64
}

/// A proxy, and the clients in front of it.
struct Bench {
    proxy: ProxyProcess,
    target: Target,
    calls: Arc<[Call]>,
}

impl Bench {
    fn start(upstream: &Upstream, calls: &Arc<[Call]>, more: &[&str]) -> Self {
        let arguments = [&["--threads", "1"], more].concat();
        let ca = upstream.authority.certificate_pem();
        let proxy = ProxyProcess::start_with(&upstream.url, &ca, &arguments);
        Self {
            target: Target::new(&proxy.url, &proxy.authority),
            proxy,
            calls: Arc::clone(calls),
        }
    }

    /// Makes all calls once; microseconds of CPU for one of them.
    async fn figure(&self, state: State) -> f64 {
        let asked = OpenRun {
            journal: state == State::Journal,
            ..OpenRun::default()
        };
        if state != State::Closed {
            self.proxy.admin.open_run("bench", &asked).await.unwrap();
        }
        let before = self.at_rest().await;
        self.make_calls().await;
        let spent = ProcessTime::of(self.proxy.id()).since(&before);
        if state != State::Closed {
            let books = self.proxy.admin.close_run("bench").await.unwrap();
            let lines = if state == State::Journal {
                self.calls.len()
            } else {
                0
            };
            assert!(books.journal.len() >= lines);
        }
        spent.as_secs_f64() * 1e6 / self.calls.len() as f64
    }

    /// The proxy's time once it does nothing more of what came before.
    async fn at_rest(&self) -> ProcessTime {
        let mut before = ProcessTime::of(self.proxy.id());
        loop {
            sleep(Duration::from_millis(20)).await;
            let now = ProcessTime::of(self.proxy.id());
            if now.since(&before) < Duration::from_micros(100) {
                return now;
            }
            before = now;
        }
    }

    async fn make_calls(&self) {
        let (mut clients, mut watches) = (Vec::new(), JoinSet::new());
        for component in Component::ALL {
            let sender = self.target.http2().await.unwrap();
            let client = Arc::new(Client::new(component, &self.calls, &self.target));
            for watch in component.watches() {
                let (events, bytes) = client.watch(sender.clone(), watch).await;
                watches.spawn(read(events, bytes));
            }
            clients.push((client, sender));
        }
        // Now all watches hear of all writes.
        let mut calling = JoinSet::new();
        for (client, sender) in clients {
            for _ in 0..AT_ONCE {
                calling.spawn(Arc::clone(&client).make_calls(sender.clone()));
            }
        }
        calling.join_all().await;
        watches.join_all().await;
    }
}

/// A component with calls to make.
struct Client {
    component: Component,
    calls: Arc<[Call]>,
    own: Vec<usize>,
    next: AtomicUsize,
    target: Target,
    token: HeaderValue,
}

impl Client {
    fn new(component: Component, calls: &Arc<[Call]>, target: &Target) -> Self {
        let own = calls.iter().enumerate();
        let own = own.filter(|(_, call)| call.component == component);
        Self {
            component,
            calls: Arc::clone(calls),
            own: own.map(|(place, _)| place).collect(),
            next: AtomicUsize::new(0),
            target: target.clone(),
            token: service_account_token(component.name()),
        }
    }

    async fn make_calls(self: Arc<Self>, mut sender: SendRequest<Body>) {
        while let Some(&place) = self.own.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let call = &self.calls[place];
            let request = self.request(call.method.clone(), &call.path);
            let mut request = request.map(|_| Full::from(call.sent.clone()));
            let media_type = HeaderValue::from_static(call.content_type);
            request
                .headers_mut()
                .insert(header::CONTENT_TYPE, media_type);
            sender.ready().await.unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), call.status);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), call.answer.len());
        }
    }

    /// Opens a watch; how many bytes it will deliver.
    async fn watch(
        &self,
        mut sender: SendRequest<Body>,
        path: &str,
    ) -> (hyper::body::Incoming, u64) {
        let request = self.request(Method::GET, path);
        let response = sender.send_request(request).await.unwrap();
        (response.into_body(), mix::event_bytes(&self.calls, path))
    }

    fn request(&self, method: Method, path: &str) -> Request<Body> {
        let mut request = self.target.request(method, path, b"");
        let headers = request.headers_mut();
        let user_agent = format!(
            "{}/v0.0.0 (linux/amd64) kubernetes/$Format",
            self.component.name()
        );
        headers.insert(header::USER_AGENT, user_agent.parse().unwrap());
        headers.insert(header::AUTHORIZATION, self.token.clone());
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, */*"),
        );
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        request
    }
}

/// Reads so many bytes of events.
async fn read(mut events: hyper::body::Incoming, mut bytes: u64) {
    while bytes > 0 {
        let frame = events.frame().await.unwrap().unwrap();
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        bytes = bytes.checked_sub(length).unwrap();
    }
}
