//! What the processes of a lab have used, once they have come to rest.

use driver::pricing::{Meter, MeterFuture, Used, when_quiet};
use lab::real::RealCluster;

/// The scheduler's accounting.
pub struct Accounting<'c>(pub &'c RealCluster);

impl Accounting<'_> {
    fn now(&self) -> Used {
        let used = self.0.usage().unwrap();
        Used {
            cpu_us: used.apiserver_us,
            collecting_us: Some(used.apiserver_collecting_us),
            etcd_cpu_us: None,
            written_bytes: None,
        }
    }
}

impl Meter for Accounting<'_> {
    fn used(&self) -> MeterFuture<'_> {
        Box::pin(when_quiet(|| Ok(self.now())))
    }
}
