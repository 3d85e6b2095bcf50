//! Where the CPU of an API server is read.

use driver::pricing::{Meter, MeterError, MeterFuture, Used, when_quiet};
use lab::real::RealCluster;

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
}

impl Meter for LabMeter<'_> {
    fn used(&self) -> MeterFuture<'_> {
        Box::pin(when_quiet(|| self.now()))
    }
}
