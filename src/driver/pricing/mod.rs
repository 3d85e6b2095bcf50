//! What calls cost an API server: measured by making them, on objects that no controller acts on.
//!
//! Rounds repeat until every price is known within 5 %, or the time is over. In a round each kind of
//! object, small and large, lives once: see `life`. Their order is another in each round, so that
//! nothing that the machine does for a while falls on one kind only.

mod caller;
mod error;
mod extras;
mod life;
mod meter;
mod session;
mod subject;
mod window;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use rand::seq::SliceRandom;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use error::PricingError;
pub use extras::WebhookServer;
pub use meter::{Meter, MeterError, MeterFuture, Used};
pub use subject::names;
pub use window::ApiServerWatch;

use self::{
    caller::Call,
    extras::{Extras, create_namespace},
    life::Life,
    session::{Batch, Session},
    subject::{LABEL, Subject, lease, standard},
};
use crate::{context::Progress, create::random_suffix};
use prices::{Extra, Fit, Size, What, fit};
use record::{Machine, PRICES_SCHEMA, PriceList, PricedCall, PricedOutcome, call_name};

/// How long a round idles.
const IDLE: Duration = Duration::from_millis(500);
/// No interval is known before.
const ROUNDS_LEAST: usize = 3;

/// What is to be measured.
pub struct PricePlan {
    /// Plural names of the kinds, of [`names`]; all if there is none.
    pub only: Vec<String>,
    /// Objects of each kind and size in a round.
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
    let mut session = Session::new(client, meter).await?;
    let namespace = format!("kubetoll-price-{}", random_suffix());
    create_namespace(&mut session, &namespace).await?;
    let mut subjects = standard();
    if !plan.only.is_empty() {
        subjects.retain(|subject| plan.only.iter().any(|name| *name == subject.plural));
    }
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
        left_out: left_out(&session),
        list: PriceList {
            schema: PRICES_SCHEMA.to_owned(),
            kubetoll_version: env!("CARGO_PKG_VERSION").to_owned(),
            kubernetes_version,
            started,
            seconds: began.elapsed().as_secs_f64(),
            rounds: session.round as u64,
            machine: plan.machine,
            toll_us: fitted.toll_us,
            idle_us_per_second: fitted.idle_us_per_second,
            prices: fitted.prices,
            webhooks: fitted.webhooks,
            watch_events: fitted.watch_events,
        },
    })
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
        progress.phase("a round to warm up, which is not counted");
        if let Some(done) = stop
            .run_until_cancelled(self.round(session, progress))
            .await
        {
            done?;
        }
        session.measured.clear();
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
            known = fit(&session.measured);
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
        session.idle(IDLE).await?;
        self.toll(session).await?;
        let of = lives.len();
        for (done, (subject, size)) in lives.into_iter().enumerate() {
            progress.step(done, of);
            let count = self.plan.objects;
            let mut life = Life::new(subject, self.namespace, size, count);
            life.measure(session).await?;
            if subject.with_extras {
                self.extras.measure(session, subject, size, count).await?;
            }
        }
        progress.step(of, of);
        Ok(())
    }

    /// Gets of one Lease: more of them than of others, since all is compared with it.
    async fn toll(&self, session: &mut Session<'_>) -> Result<(), PricingError> {
        let subject = lease();
        let mut life = Life::new(&subject, self.namespace, Size::Small, 1);
        life.make(session).await?;
        let gets = vec![life.paths(""); self.plan.objects * TOLLS].concat();
        let batch = Batch {
            what: What::Toll,
            size: Size::Small,
            calls: gets.into_iter().map(Call::get).collect(),
            code: 200,
            object_bytes: life.objects.first().map_or(0, bytes) as f64,
        };
        session.batch(batch).await?;
        life.unmake(session).await
    }
}

/// How many gets of the Lease there are for each object of a kind.
const TOLLS: usize = 10;

fn bytes(object: &Value) -> usize {
    object.to_string().len()
}

fn left_out(session: &Session<'_>) -> Vec<String> {
    let name = |call: &PricedCall, outcome: &PricedOutcome| {
        let name = call_name(&call.verb, &call.resource, &call.subresource, &call.path);
        format!("{name} ({})", outcome.as_str())
    };
    let one = |(what, reason): (&What, &String)| match what {
        What::Call(call, outcome) => format!("{}: {reason}", name(call, outcome)),
        What::With(Extra::Webhook(_), call, outcome) => {
            format!("{} with a webhook: {reason}", name(call, outcome))
        }
        What::With(Extra::Watches(watches), call, outcome) => {
            format!("{} with {watches} watches: {reason}", name(call, outcome))
        }
        What::Idle | What::Toll => reason.clone(),
    };
    session.left_out.iter().map(one).collect()
}
