//! What an API server did and took while a run's books are open.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use kube::Client;

use super::{
    caller::metrics_page,
    error::PricingError,
    meter::{Meter, MeterError, Used},
};
use crate::window_hook::{HookFuture, WindowHook};
use prices::Served;
use record::ApiServerUsage;

/// Reads an API server's counters at both ends of a window.
pub struct ApiServerWatch<'w> {
    client: Client,
    /// The accounting of its processes, where they are seen; else its own page says what CPU it took.
    meter: Option<Box<dyn Meter + 'w>>,
    state: Mutex<State>,
}

/// Why it is not known what an API server did and took.
#[derive(Debug, thiserror::Error)]
pub enum NotKnown {
    /// The run ended before its books were closed.
    #[error("the window was not closed")]
    NotClosed,
    /// The user may not read it.
    #[error("{0}")]
    Forbidden(PricingError),
    /// It could not be read.
    #[error("{0}")]
    Unread(PricingError),
}

impl From<PricingError> for NotKnown {
    fn from(error: PricingError) -> Self {
        match error {
            PricingError::Meter(MeterError::Forbidden) => Self::Forbidden(error),
            error => Self::Unread(error),
        }
    }
}

#[derive(Default)]
struct State {
    opened: Option<Opened>,
    found: Option<ApiServerUsage>,
    problem: Option<PricingError>,
}

struct Opened {
    at: Instant,
    used: Option<Used>,
    served: Served,
}

impl<'w> ApiServerWatch<'w> {
    /// Of the API server that `client` reaches, whose CPU `meter` reads; without one, by hundredths of a
    /// second as its `/metrics` has it.
    pub fn new(client: Client, meter: Option<Box<dyn Meter + 'w>>) -> Self {
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
    /// Why nothing is known.
    pub fn found(self) -> Result<ApiServerUsage, NotKnown> {
        let state = self.state.into_inner();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let problem = state.problem;
        let why = || problem.map_or(NotKnown::NotClosed, NotKnown::from);
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
            used: self.used().await?,
            served,
        })
    }

    async fn close(&self, opened: &Opened) -> Result<ApiServerUsage, PricingError> {
        let used = self.used().await?;
        let seconds = opened.at.elapsed().as_secs_f64();
        let usage = served(&self.client).await?.since(&opened.served, seconds);
        let restarted = "the API server was restarted meanwhile, or several take turns";
        let mut usage = usage.ok_or_else(|| MeterError::Metrics(restarted.to_owned()))?;
        if let Some((now, then)) = used.zip(opened.used) {
            let etcd_us = now.etcd_cpu_us.zip(then.etcd_cpu_us);
            usage.cpu_seconds = (now.cpu_us - then.cpu_us) / 1e6;
            usage.etcd_cpu_seconds = etcd_us.map(|(now, then)| (now - then) / 1e6);
        }
        Ok(usage)
    }

    async fn used(&self) -> Result<Option<Used>, MeterError> {
        match &self.meter {
            Some(meter) => meter.used().await.map(Some),
            None => Ok(None),
        }
    }
}

async fn served(client: &Client) -> Result<Served, PricingError> {
    let served = Served::parse(&metrics_page(client).await?);
    Ok(served.map_err(|error| MeterError::Metrics(error.to_string()))?)
}

impl WindowHook for ApiServerWatch<'_> {
    fn on_open(&self) -> HookFuture<'_> {
        Box::pin(async move {
            match self.open().await {
                Ok(opened) => self.state().opened = Some(opened),
                Err(error) => self.state().problem = Some(error),
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
                Err(error) => self.state().problem = Some(error),
            }
        })
    }
}
