//! What the processes of a lab have used, by the system's accounting.

use std::{fs, io};

use super::{RealCluster, RealError, error::io_error};

/// What the two processes have used since they were started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessUsage {
    /// Microseconds of kube-apiserver's CPU.
    pub apiserver_us: f64,
    /// Those of them that collected garbage, in collections that are over.
    pub apiserver_collecting_us: f64,
    /// Microseconds of etcd's CPU.
    pub etcd_us: f64,
    /// Bytes that etcd wrote to its disk.
    pub etcd_written_bytes: f64,
}

impl RealCluster {
    /// What its processes have used since they were started.
    pub fn usage(&self) -> Result<ProcessUsage, RealError> {
        let unreadable = |source| io_error("the processes' accounting can't be read", source);
        let ended = || unreadable(io::Error::other("a process has ended"));
        let apiserver = self.apiserver.id().ok_or_else(ended)?;
        let etcd = self.etcd.id().ok_or_else(ended)?;
        Ok(ProcessUsage {
            apiserver_us: cpu_us(apiserver).map_err(unreadable)?,
            apiserver_collecting_us: self
                .apiserver_collections
                .us(self.apiserver.log())
                .map_err(unreadable)?,
            etcd_us: cpu_us(etcd).map_err(unreadable)?,
            etcd_written_bytes: written_bytes(etcd).map_err(unreadable)?,
        })
    }
}

/// Time on a processor of all threads of a process, by the scheduler, which counts nanoseconds.
fn cpu_us(process: u32) -> io::Result<f64> {
    let mut nanos = 0.0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let path = thread?.path().join("schedstat");
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(path) else {
            continue;
        };
        let first = text.split_whitespace().next().unwrap_or_default();
        nanos += first.parse().unwrap_or(0.0);
    }
    Ok(nanos / 1e3)
}

/// Bytes that a process caused to be written to a disk.
fn written_bytes(process: u32) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/io"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    let bytes = line.and_then(|bytes| bytes.parse().ok());
    bytes.ok_or_else(|| io::Error::other("/proc/PID/io has no write_bytes"))
}
