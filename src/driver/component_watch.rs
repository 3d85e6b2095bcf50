//! The components' own metrics over the window in which a run's books are open.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use jiff::Timestamp;
use tokio::{sync::Mutex, time::sleep};

use super::{
    component_metrics::{ComponentMetrics, MetricsError},
    window_hook::{HookFuture, WindowHook},
};
use cluster::causes::with_causes;
use record::Crosscheck;
use verify::crosscheck::{Window, failed};

/// Compares over a run's window. What goes wrong is in what was found.
pub struct ComponentWatch {
    metrics: ComponentMetrics,
    /// Pause between samples.
    pause: Duration,
    state: Mutex<State>,
}

enum State {
    Before,
    Open(Window),
    Closed(Crosscheck),
}

impl ComponentWatch {
    /// A watch that samples with this pause in between. Each endpoint must answer now.
    pub async fn new(metrics: ComponentMetrics, pause: Duration) -> Result<Self, MetricsError> {
        metrics.readings().await?;
        Ok(Self {
            metrics,
            pause,
            state: Mutex::new(State::Before),
        })
    }

    /// Samples, as long as the window is open, until `work` is done.
    pub async fn sample_during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.sample() => match never {},
        }
    }

    async fn sample(&self) -> Infallible {
        loop {
            sleep(self.pause).await;
            if let State::Open(window) = &mut *self.state.lock().await {
                self.metrics.sample(window).await;
            }
        }
    }

    /// What was found; `None` if the window was not opened, or not closed.
    pub fn found(self) -> Option<Crosscheck> {
        match self.state.into_inner() {
            State::Closed(check) => Some(check),
            State::Before | State::Open(_) => None,
        }
    }
}

impl WindowHook for ComponentWatch {
    fn on_open(&self) -> HookFuture<'_> {
        Box::pin(async {
            let mut state = self.state.lock().await;
            *state = match self.metrics.open().await {
                Ok(window) => State::Open(window),
                Err(error) => State::Closed(nothing_known(Timestamp::now(), &error)),
            };
        })
    }

    fn on_close(&self) -> HookFuture<'_> {
        Box::pin(async {
            let mut state = self.state.lock().await;
            let window = match std::mem::replace(&mut *state, State::Before) {
                State::Open(window) => window,
                other => return *state = other,
            };
            let opened = window.opened();
            let closed = self.metrics.close(window, &BTreeSet::new()).await;
            *state = State::Closed(closed.unwrap_or_else(|error| nothing_known(opened, &error)));
        })
    }
}

fn nothing_known(opened: Timestamp, error: &MetricsError) -> Crosscheck {
    failed(opened, Timestamp::now(), with_causes(error))
}
