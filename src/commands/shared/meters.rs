//! Where the CPU of an API server is read.

use std::time::Duration;

use tokio::time::sleep;

use driver::pricing::{Meter, MeterError, MeterFuture, Used};
use lab::real::RealCluster;

/// For how long an API server must do next to nothing: it still works on what is answered, and
/// what collects garbage is to have ended.
const QUIET: Duration = Duration::from_millis(10);
/// The most of its CPU that it takes meanwhile.
const QUIET_US: f64 = 1_000.0;
/// It may not become quiet: others may call it.
const LOOKS_MAX: usize = 50;

/// The accounting of a lab's processes.
pub(crate) struct LabMeter<'l>(pub(crate) &'l RealCluster);

impl LabMeter<'_> {
    fn now(&self) -> Result<Used, MeterError> {
        let used = self.0.usage().map_err(|error| MeterError::Process {
            process: "kube-apiserver or etcd",
            reason: error.to_string(),
        })?;
        Ok(Used {
            cpu_us: used.apiserver_us,
            collecting_us: Some(used.apiserver_collecting_us),
            etcd_cpu_us: Some(used.etcd_us),
            written_bytes: Some(used.etcd_written_bytes),
        })
    }

    async fn when_quiet(&self) -> Result<Used, MeterError> {
        let mut used = self.now()?;
        for _ in 0..LOOKS_MAX {
            sleep(QUIET).await;
            let then = std::mem::replace(&mut used, self.now()?);
            if used.cpu_us - then.cpu_us <= QUIET_US {
                break;
            }
        }
        Ok(used)
    }
}

impl Meter for LabMeter<'_> {
    fn used(&self) -> MeterFuture<'_> {
        Box::pin(self.when_quiet())
    }
}
