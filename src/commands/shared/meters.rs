//! Where the CPU of an API server is read.

use driver::pricing::{Meter, MeterError, MeterFuture, Used};
use lab::real::RealCluster;

/// The accounting of a lab's processes.
pub(crate) struct LabMeter<'l>(pub(crate) &'l RealCluster);

impl Meter for LabMeter<'_> {
    fn used(&self) -> MeterFuture<'_> {
        let used = self.0.usage().map_err(|error| MeterError::Process {
            process: "kube-apiserver or etcd",
            reason: error.to_string(),
        });
        let used = used.map(|used| Used {
            cpu_us: used.apiserver_us,
            etcd_cpu_us: Some(used.etcd_us),
            written_bytes: Some(used.etcd_written_bytes),
        });
        Box::pin(std::future::ready(used))
    }
}
