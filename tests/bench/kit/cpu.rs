//! What a process has used: CPU time and switches by the scheduler's accounting, and system calls.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

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

/// What one request took of a process.
pub struct Used {
    /// Microseconds of CPU.
    pub us: f64,
    /// How often a thread of it gave its CPU up, or had it taken away.
    pub switches: f64,
}

/// What a process has used so far.
pub struct Reading {
    cpu: ProcessTime,
    switches: u64,
}

impl Reading {
    pub fn of(process: u32) -> Self {
        Self {
            cpu: ProcessTime::of(process),
            switches: switches(process),
        }
    }

    /// What each of so many requests took since then.
    pub fn each(&self, before: &Self, requests: u64) -> Used {
        let requests = requests as f64;
        Used {
            us: self.cpu.since(&before.cpu).as_secs_f64() * 1e6 / requests,
            switches: self.switches.saturating_sub(before.switches) as f64 / requests,
        }
    }
}

fn switches(process: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_thread = |thread: fs::DirEntry| -> Option<u64> {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        let numbers = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        Some(numbers.sum())
    };
    threads.filter_map(|thread| of_thread(thread.ok()?)).sum()
}

/// `perf` that counts the system calls of a process.
pub struct SystemCalls(Child);

impl SystemCalls {
    /// `None` where there is no `perf`, or it may not count.
    pub fn of(process: u32) -> Option<Self> {
        const UNTIL_COUNTING: Duration = Duration::from_millis(300);
        let mut perf = Command::new("perf")
            .args([
                "stat",
                "--field-separator",
                ",",
                "--event",
                "raw_syscalls:sys_enter",
            ])
            .args(["--pid", &process.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        sleep(UNTIL_COUNTING);
        let counts = perf.try_wait().ok()?.is_none();
        counts.then_some(Self(perf))
    }

    /// How many there were.
    pub fn stop(self) -> Option<f64> {
        let id = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(id, rustix::process::Signal::INT).ok()?;
        let output = self.0.wait_with_output().ok()?;
        let text = String::from_utf8(output.stderr).ok()?;
        let line = text.lines().find(|line| line.contains("sys_enter"))?;
        line.split(',').next()?.parse().ok()
    }
}
