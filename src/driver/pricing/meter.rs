//! What an API server and its etcd have used.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use exchange::exposition_samples;
use prices::Memory;

const ALLOCATED: &str = "go_memstats_alloc_bytes_total";
const COLLECTIONS: &str = "go_gc_duration_seconds_count";

/// What the two have used since they were started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Used {
    /// Microseconds of the API server's CPU.
    pub cpu_us: f64,
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
}

/// What a meter gives when it is done.
pub type MeterFuture<'m> = Pin<Box<dyn Future<Output = Result<Used, MeterError>> + Send + 'm>>;

/// Reads what an API server and its etcd have used.
pub trait Meter: Send + Sync {
    /// Now.
    fn used(&self) -> MeterFuture<'_>;
}

/// What an API server's `/metrics` says of its memory since it was started.
pub(super) fn memory(page: &Bytes) -> Result<Memory, MeterError> {
    let wanted = |name: &str| [ALLOCATED, COLLECTIONS].contains(&name);
    // Most of the page is histograms of requests.
    let lines = page.split(|byte| *byte == b'\n');
    let of_go: Vec<&[u8]> = lines.filter(|line| line.starts_with(b"go_")).collect();
    let samples = exposition_samples(&[&of_go.join(&b'\n')[..], b"\n"].concat(), wanted);
    let samples = samples.map_err(|error| MeterError::Metrics(error.to_string()))?;
    let value = |name: &str| {
        let found = samples.iter().find(|sample| sample.name == name);
        let found = found.map(|sample| sample.value);
        found.ok_or_else(|| MeterError::Metrics(format!("it has no {name}")))
    };
    Ok(Memory {
        allocated_bytes: value(ALLOCATED)?,
        collections: value(COLLECTIONS)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_among_other_metrics() {
        let page = "# TYPE apiserver_request_total counter\napiserver_request_total{a=\"b\"} 7\n\
                    # TYPE go_gc_duration_seconds summary\ngo_gc_duration_seconds{quantile=\"0\"} 1e-05\n\
                    go_gc_duration_seconds_sum 0.1\ngo_gc_duration_seconds_count 17\n\
                    go_memstats_alloc_bytes_total 1.5e+09\nprocess_cpu_seconds_total 3\n";
        let found = memory(&page.into()).unwrap();
        assert_eq!((found.collections, found.allocated_bytes), (17.0, 1.5e9));
        let error = memory(&"go_goroutines 3\n".into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/metrics of the API server is not as expected: it has no go_memstats_alloc_bytes_total"
        );
    }
}
