//! What calls cost an API server: measured by making them, on objects that no controller acts on.
//!
//! Rounds repeat until every price is known within 5 %, or the time is over. In a round each kind of
//! object, small and large, lives once: see `life`. Their order is another in each round, so that
//! nothing that the machine does for a while falls on one kind only.

mod allocations;
mod caller;
mod error;
mod extras;
mod launcher_pod;
mod life;
mod meter;
mod metrics_meter;
mod mix;
mod session;
mod subject;
mod window;
mod without_objects;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use rand::seq::SliceRandom;
use tokio_util::sync::CancellationToken;

pub use error::PricingError;
pub use extras::WebhookServer;
pub use meter::{Meter, MeterError, MeterFuture, Used, when_quiet};
pub use metrics_meter::MetricsMeter;
pub use subject::names;
pub use window::{ApiServerWatch, NotKnown};

use self::{
    caller::Call,
    extras::{Extras, create, create_namespace},
    life::Life,
    session::Session,
    subject::{LABEL, Subject, lease, standard},
};
use crate::{context::Progress, create::random_suffix};
use prices::{Extra, Fit, Size, What, fit};
use record::{Machine, PRICES_SCHEMA, PriceList, call_name};

/// How long a round idles before each kind.
const IDLE: Duration = Duration::from_millis(100);
/// The same where the clock of CPU ticks a hundred times a second.
const IDLE_FOR_TICKS: Duration = Duration::from_secs(1);
/// Rounds that find out what calls allocate: the median of three leaves out what was far off once.
const ROUNDS_OF_MEMORY: usize = 3;
/// No interval is known before.
const ROUNDS_LEAST: usize = 3;

/// What is to be measured.
pub struct PricePlan {
    /// Plural names of the kinds, of [`names`]; all if there is none.
    pub only: Vec<String>,
    /// Whether others use the cluster.
    pub in_use: bool,
    /// Objects of each kind and size in a round, and gets of the Lease before each batch.
    pub objects: usize,
    /// Time after which no new round begins, unless there were fewer than three.
    pub longest: Duration,
    /// Where the API server can call webhooks of ours, if it can.
    pub webhooks: Option<WebhookServer>,
    /// The machine that is measured on.
    pub machine: Machine,
}

/// A price list, and what it lacks.
pub struct Priced {
    /// The list.
    pub list: PriceList,
    /// Whether each price is known within 5 %.
    pub is_exact: bool,
    /// The widest interval: half of it by its mean, or by a toll for what costs less.
    pub widest: f64,
    /// Kinds of calls that could not be measured, and why.
    pub left_out: Vec<String>,
}

/// Measures the prices of an API server that `client` reaches directly.
///
/// # Errors
///
/// Why nothing is known. What was made is removed.
pub async fn measure(
    client: &Client,
    meter: &dyn Meter,
    plan: PricePlan,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<Priced, PricingError> {
    let (started, began) = (Timestamp::now(), Instant::now());
    let kubernetes_version = client.apiserver_version().await?.git_version;
    let mut session = Session::new(client, meter, plan.objects).await?;
    let namespace = format!("kubetoll-price-{}", random_suffix());
    create_namespace(&mut session, &namespace).await?;
    let (toll, name) = (lease(), "kubetoll-toll");
    let leases = toll.collection(&namespace);
    let object = toll.object(name, &namespace, Size::Small);
    create(&mut session, leases.clone(), &object).await?;
    session.lease = format!("{leases}/{name}");
    let subjects = subjects(&plan);
    let extras = Extras::new(&mut session, &namespace, &subjects, plan.webhooks.clone()).await?;
    let rounds = Rounds {
        namespace: &namespace,
        subjects: &subjects,
        extras: &extras,
        plan: &plan,
    };
    let fitted = rounds.run(&mut session, progress, stop).await;
    extras.clean_up(&mut session).await?;
    clean_up(&mut session, &namespace, &subjects).await?;
    let fitted = fitted?;
    Ok(Priced {
        is_exact: fitted.is_exact(),
        widest: fitted.widest,
        left_out: left_out(&session, &fitted),
        list: PriceList {
            schema: PRICES_SCHEMA.to_owned(),
            kubetoll_version: env!("CARGO_PKG_VERSION").to_owned(),
            kubernetes_version,
            started,
            seconds: began.elapsed().as_secs_f64(),
            rounds: session.round as u64,
            machine: plan.machine,
            toll_us: fitted.toll_us,
            mixed: fitted.mixed,
            idle_us_per_second: fitted.idle_us_per_second,
            prices: fitted.prices,
            webhooks: fitted.webhooks,
            watch_events: fitted.watch_events,
        },
    })
}

/// Those that were asked for; otherwise all, of a cluster that others use without nodes, on which its
/// controllers would act.
fn subjects(plan: &PricePlan) -> Vec<Subject> {
    let is_asked = |subject: &Subject| match &plan.only[..] {
        [] => subject.namespaced || !plan.in_use,
        only => only.iter().any(|name| *name == subject.plural),
    };
    standard().into_iter().filter(is_asked).collect()
}

/// Removes what a round that was broken off may have left in no namespace, and the namespace.
async fn clean_up(
    session: &mut Session<'_>,
    namespace: &str,
    subjects: &[Subject],
) -> Result<(), PricingError> {
    let outside = subjects.iter().filter(|subject| !subject.namespaced);
    let mut calls: Vec<Call> = outside
        .map(|subject| {
            let collection = subject.collection(namespace);
            Call::delete(format!("{collection}?labelSelector={LABEL}"))
        })
        .collect();
    calls.push(Call::delete(format!("/api/v1/namespaces/{namespace}")));
    session.prepare(calls).await?;
    Ok(())
}

struct Rounds<'r> {
    namespace: &'r str,
    subjects: &'r [Subject],
    extras: &'r Extras,
    plan: &'r PricePlan,
}

impl Rounds<'_> {
    /// Rounds until the prices are exact, the time is over, or `stop` is cancelled.
    async fn run(
        &self,
        session: &mut Session<'_>,
        progress: &dyn Progress,
        stop: &CancellationToken,
    ) -> Result<Fit, PricingError> {
        let began = Instant::now();
        for round in 1..=ROUNDS_OF_MEMORY {
            let of = format!("{round} of {ROUNDS_OF_MEMORY}");
            progress.phase(&format!("to warm up, what calls allocate, round {of}"));
            let warming = async {
                session.learn().await?;
                self.round(session, progress).await
            };
            match stop.run_until_cancelled(warming).await {
                Some(done) => done?,
                None => return Err(PricingError::TooEarly),
            }
        }
        session.warmed_up();
        let mut known = None;
        while session.round < ROUNDS_LEAST || began.elapsed() < self.plan.longest {
            progress.phase(&format!("round {}", session.round + 1));
            match stop
                .run_until_cancelled(self.round(session, progress))
                .await
            {
                Some(done) => done?,
                None => break,
            }
            session.round += 1;
            if session.round < ROUNDS_LEAST {
                continue;
            }
            known = fit(&session.measurements().await?);
            if known.as_ref().is_some_and(Fit::is_exact) {
                break;
            }
        }
        known.ok_or(PricingError::TooEarly)
    }

    async fn round(
        &self,
        session: &mut Session<'_>,
        progress: &dyn Progress,
    ) -> Result<(), PricingError> {
        let subjects = self.subjects.iter();
        let sizes = [Size::Small, Size::Large];
        let mut lives: Vec<(&Subject, Size)> = subjects
            .flat_map(|subject| sizes.map(|size| (subject, size)))
            .collect();
        lives.shuffle(&mut rand::rng());
        let of = lives.len();
        for (done, (subject, size)) in lives.into_iter().enumerate() {
            progress.step(done, of);
            if session.meter.takes_cpu() {
                session.idle(What::Reading, Duration::ZERO).await?;
                session.idle(What::Idle, IDLE_FOR_TICKS).await?;
            } else {
                session.idle(What::Idle, IDLE).await?;
            }
            let count = self.plan.objects;
            let mut life = Life::new(subject, self.namespace, size, count);
            life.measure(session).await?;
            if subject.with_extras {
                self.extras.measure(session, subject, size, count).await?;
            }
        }
        if self.plan.only.is_empty() {
            without_objects::measure(session, self.plan.objects).await?;
        }
        mix::measure(session, self.namespace, self.subjects).await?;
        progress.step(of, of);
        Ok(())
    }
}

/// What can't be measured, and is in no list.
fn left_out(session: &Session<'_>, fitted: &Fit) -> Vec<String> {
    let left_out = session.left_out.iter();
    let left_out = left_out.filter(|(what, _)| !fitted.has(what));
    left_out
        .map(|(what, reason)| format!("{}: {reason}", name(what)))
        .collect()
}

fn name(what: &What) -> String {
    let (call, outcome) = match what {
        What::Idle | What::Reading => return "nothing".to_owned(),
        What::Toll => return "a get of a Lease".to_owned(),
        What::Mix => return "calls in random order".to_owned(),
        What::Call(call, outcome) | What::With(_, call, outcome) => (call, outcome),
    };
    let name = call_name(&call.verb, &call.resource, &call.subresource, &call.path);
    let with = match what {
        What::With(Extra::Webhook(_), ..) => " with a webhook".to_owned(),
        What::With(Extra::Watches(watches), ..) => format!(" with {watches} watches"),
        _ => String::new(),
    };
    format!("{name} ({}){with}", outcome.as_str())
}
