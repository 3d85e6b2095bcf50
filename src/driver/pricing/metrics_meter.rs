//! What an API server has used, by its `/metrics`: where its process is on another machine.

use std::{sync::OnceLock, time::Duration};

use bytes::Bytes;
use kube::Client;
use tokio::time::sleep;

use super::{
    caller::metrics_page,
    error::PricingError,
    meter::{Meter, MeterError, MeterFuture, Used, values},
};

/// How long the API server may still work on what is answered.
const AFTER: Duration = Duration::from_millis(50);
const CPU: &str = "process_cpu_seconds_total";
const STARTED: &str = "process_start_time_seconds";
const COLLECTING: &str = "go_cpu_classes_gc_total_cpu_seconds_total";

/// Reads `/metrics` of one API server. Its clock of CPU ticks a hundred times a second, and reading
/// it takes CPU itself.
pub struct MetricsMeter {
    client: Client,
    /// When the process was started that answered first.
    started: OnceLock<f64>,
}

impl MetricsMeter {
    /// Of the API server that `client` reaches.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            started: OnceLock::new(),
        }
    }

    async fn read(&self) -> Result<Used, MeterError> {
        sleep(AFTER).await;
        let page = metrics_page(&self.client).await;
        let page = page.map_err(|error| match error {
            PricingError::Meter(error) => error,
            other => MeterError::Metrics(other.to_string()),
        })?;
        self.used_of(&page)
    }

    fn used_of(&self, page: &Bytes) -> Result<Used, MeterError> {
        let [cpu, started, collecting] = values(page, [CPU, STARTED, COLLECTING])?;
        let wanted = |value: Option<f64>, name: &str| {
            value.ok_or_else(|| MeterError::Metrics(format!("it has no {name}")))
        };
        let started = wanted(started, STARTED)?;
        if *self.started.get_or_init(|| started) != started {
            let other = "the API server was restarted meanwhile, or several take turns; give \
                         the address of a single one";
            return Err(MeterError::Metrics(other.to_owned()));
        }
        Ok(Used {
            cpu_us: 1e6 * wanted(cpu, CPU)?,
            collecting_us: collecting.map(|seconds| 1e6 * seconds),
            etcd_cpu_us: None,
            written_bytes: None,
        })
    }
}

impl Meter for MetricsMeter {
    fn used(&self) -> MeterFuture<'_> {
        Box::pin(self.read())
    }

    fn takes_cpu(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(started: f64) -> Bytes {
        let collecting = "go_cpu_classes_gc_total_cpu_seconds_total 0.5";
        format!(
            "process_cpu_seconds_total 3.25\n{collecting}\nprocess_start_time_seconds {started}\n"
        )
        .into()
    }

    #[tokio::test]
    async fn two_processes_are_not_taken_for_one() {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let meter = MetricsMeter::new(Client::try_from(config).unwrap());
        let used = meter.used_of(&page(7.5)).unwrap();
        assert_eq!((used.cpu_us, used.collecting_us), (3.25e6, Some(0.5e6)));
        assert!(meter.used_of(&page(7.5)).is_ok());
        let error = meter.used_of(&page(8.5)).unwrap_err();
        assert!(error.to_string().contains("several take turns"), "{error}");
        let error = meter.used_of(&"a 1\n".into()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("it has no process_start_time_seconds"),
            "{error}"
        );
    }
}
