//! What an API server did and took while a run's books are open.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use kube::Client;

use super::{
    caller::Call,
    error::PricingError,
    meter::{Meter, MeterError, MeterFuture, Used},
};
use crate::window_hook::{HookFuture, WindowHook};
use prices::Served;
use record::ApiServerUsage;

/// Reads an API server's counters at both ends of a window.
pub struct ApiServerWatch<'w> {
    client: Client,
    meter: &'w dyn Meter,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    opened: Option<Opened>,
    found: Option<ApiServerUsage>,
    problem: Option<String>,
}

struct Opened {
    at: Instant,
    used: Used,
    served: Served,
}

impl<'w> ApiServerWatch<'w> {
    /// Of the API server that `client` reaches, whose CPU `meter` reads.
    pub fn new(client: Client, meter: &'w dyn Meter) -> Self {
        Self {
            client,
            meter,
            state: Mutex::default(),
        }
    }

    /// What was found, or why nothing was.
    ///
    /// # Errors
    ///
    /// Why nothing is known, in words.
    pub fn found(self) -> Result<ApiServerUsage, String> {
        let state = self.state.into_inner();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let problem = state.problem;
        let why = || problem.unwrap_or_else(|| "the window was not closed".to_owned());
        state.found.ok_or_else(why)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reading the page takes CPU itself: it is outside of the window.
    async fn open(&self) -> Result<Opened, PricingError> {
        let served = served(&self.client).await?;
        Ok(Opened {
            at: Instant::now(),
            used: self.meter.used().await?,
            served,
        })
    }

    async fn close(&self, opened: &Opened) -> Result<ApiServerUsage, PricingError> {
        let used = self.meter.used().await?;
        let seconds = opened.at.elapsed().as_secs_f64();
        let done = served(&self.client).await?.since(&opened.served);
        let restarted = "the API server was restarted meanwhile, or several take turns";
        let done = done.ok_or_else(|| MeterError::Metrics(restarted.to_owned()))?;
        let etcd_us = used.etcd_cpu_us.zip(opened.used.etcd_cpu_us);
        Ok(ApiServerUsage {
            seconds,
            cpu_seconds: (used.cpu_us - opened.used.cpu_us) / 1e6,
            etcd_cpu_seconds: etcd_us.map(|(now, then)| (now - then) / 1e6),
            requests: done.requests,
            webhook_calls: done.webhook_calls,
            watch_events: done.watch_events,
        })
    }
}

async fn served(client: &Client) -> Result<Served, PricingError> {
    let answer = Call::get("/metrics".to_owned()).send(client).await?;
    if answer.code != 200 {
        let refused = format!("answered {}", answer.code);
        return Err(MeterError::Metrics(refused).into());
    }
    let served = Served::parse(&answer.body);
    Ok(served.map_err(|error| MeterError::Metrics(error.to_string()))?)
}

impl WindowHook for ApiServerWatch<'_> {
    fn on_open(&self) -> HookFuture<'_> {
        Box::pin(async move {
            match self.open().await {
                Ok(opened) => self.state().opened = Some(opened),
                Err(error) => self.state().problem = Some(error.to_string()),
            }
        })
    }

    fn on_close(&self) -> HookFuture<'_> {
        Box::pin(async move {
            let Some(opened) = self.state().opened.take() else {
                return;
            };
            match self.close(&opened).await {
                Ok(usage) => self.state().found = Some(usage),
                Err(error) => self.state().problem = Some(error.to_string()),
            }
        })
    }
}

/// An API server's CPU as its own `/metrics` says, in hundredths of a second: for a cluster, where its
/// process can't be seen.
pub struct MetricsMeter(pub Client);

impl Meter for MetricsMeter {
    fn used(&self) -> MeterFuture<'_> {
        Box::pin(async move {
            let served = served(&self.0).await;
            let served = served.map_err(|error| MeterError::Metrics(error.to_string()))?;
            Ok(Used {
                cpu_us: served.cpu_seconds * 1e6,
                ..Used::default()
            })
        })
    }
}
