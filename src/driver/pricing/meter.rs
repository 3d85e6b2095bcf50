//! What an API server and its etcd have used.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use exchange::exposition_samples;
use tokio::time::sleep;

const ALLOCATED: &str = "go_memstats_alloc_bytes_total";

/// What the two have used since they were started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Used {
    /// Microseconds of the API server's CPU.
    pub cpu_us: f64,
    /// Those of them that collected garbage, where that can be read.
    pub collecting_us: Option<f64>,
    /// Microseconds of etcd's CPU, where it can be read.
    pub etcd_cpu_us: Option<f64>,
    /// Bytes that etcd has written to its disk, where that can be read.
    pub written_bytes: Option<f64>,
}

/// Why that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum MeterError {
    /// The accounting of a process.
    #[error("the CPU time of {process} can't be read: {reason}")]
    Process {
        /// `kube-apiserver` or `etcd`.
        process: &'static str,
        /// The system's error.
        reason: String,
    },
    /// `/metrics` of the API server.
    #[error("/metrics of the API server is not as expected: {0}")]
    Metrics(String),
    /// The user may not read it.
    #[error(
        "/metrics of the API server is answered 403: reading it takes the right to get the path \
         /metrics"
    )]
    Forbidden,
}

/// What a meter gives when it is done.
pub type MeterFuture<'m> = Pin<Box<dyn Future<Output = Result<Used, MeterError>> + Send + 'm>>;

/// Reads what an API server and its etcd have used.
pub trait Meter: Send + Sync {
    /// As soon as they work on nothing that was called before.
    fn used(&self) -> MeterFuture<'_>;

    /// Whether reading takes CPU of the API server, which is no call's.
    fn takes_cpu(&self) -> bool {
        false
    }
}

/// For how long an API server must do next to nothing: it still works on what is answered, and
/// what collects garbage is to have ended.
const QUIET: Duration = Duration::from_millis(10);
/// The most of its CPU that it takes meanwhile.
const QUIET_US: f64 = 1_000.0;
/// It may not become quiet: others may call it.
const LOOKS_MAX: usize = 50;

/// What an API server has used when it does next to nothing any more, where looking at it is free.
///
/// # Errors
///
/// Those of `now`.
pub async fn when_quiet(
    now: impl Fn() -> Result<Used, MeterError> + Send,
) -> Result<Used, MeterError> {
    let mut used = now()?;
    for _ in 0..LOOKS_MAX {
        sleep(QUIET).await;
        let then = std::mem::replace(&mut used, now()?);
        if used.cpu_us - then.cpu_us <= QUIET_US {
            break;
        }
    }
    Ok(used)
}

/// Bytes that an API server has allocated, by its `/metrics`.
pub(super) fn allocated_bytes(page: &Bytes) -> Result<f64, MeterError> {
    let [value] = values(page, [ALLOCATED])?;
    value.ok_or_else(|| MeterError::Metrics(format!("it has no {ALLOCATED}")))
}

/// Values of metrics of the process and of Go.
pub(super) fn values<const N: usize>(
    page: &Bytes,
    names: [&str; N],
) -> Result<[Option<f64>; N], MeterError> {
    // Most of the page is histograms of requests.
    let is_wanted = |line: &&[u8]| line.starts_with(b"go_") || line.starts_with(b"process_");
    let lines = page.split(|byte| *byte == b'\n').filter(is_wanted);
    let page = [&lines.collect::<Vec<_>>().join(&b'\n')[..], b"\n"].concat();
    let samples = exposition_samples(&page, |name: &str| names.contains(&name));
    let samples = samples.map_err(|error| MeterError::Metrics(error.to_string()))?;
    let value = |name: &str| {
        let mut samples = samples.iter();
        samples
            .find(|sample| sample.name == name)
            .map(|sample| sample.value)
    };
    Ok(names.map(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_allocated_is_read_among_other_metrics() {
        let page = "# TYPE apiserver_request_total counter\napiserver_request_total{a=\"b\"} 7\n\
                    go_memstats_alloc_bytes_total 1.5e+09\nprocess_cpu_seconds_total 3\n";
        assert_eq!(allocated_bytes(&page.into()).unwrap(), 1.5e9);
        let error = allocated_bytes(&"go_goroutines 3\n".into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/metrics of the API server is not as expected: it has no go_memstats_alloc_bytes_total"
        );
    }
}
