//! CPU time by the scheduler's accounting.

use std::{collections::HashMap, fs, path::Path, time::Duration};

/// CPU time of each thread of a process so far, in nanoseconds.
pub struct ProcessTime(HashMap<String, u64>);

impl ProcessTime {
    pub fn of(process: u32) -> Self {
        let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        // A thread may have ended meanwhile.
        let times = threads.filter_map(|thread| {
            let thread = thread.unwrap();
            let name = thread.file_name().into_string().unwrap();
            Some((name, nanos(&thread.path().join("schedstat"))?))
        });
        Self(times.collect())
    }

    /// What was spent since then, but by threads that have ended.
    pub fn since(&self, before: &Self) -> Duration {
        let spent = self.0.iter().map(|(thread, now)| {
            let before = before.0.get(thread).copied().unwrap_or_default();
            now - before
        });
        Duration::from_nanos(spent.sum())
    }
}

/// CPU time of this thread so far.
pub fn thread_time() -> Duration {
    Duration::from_nanos(nanos(Path::new("/proc/thread-self/schedstat")).unwrap())
}

fn nanos(schedstat: &Path) -> Option<u64> {
    let text = fs::read_to_string(schedstat).ok()?;
    text.split_whitespace().next()?.parse().ok()
}
