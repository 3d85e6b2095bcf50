//! A real Prometheus and its promtool, out of Debian's package.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;

use super::{real, skip};

/// How long a start, or a scrape, may take.
const LONGEST: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// A running Prometheus; killed when dropped.
pub struct Prometheus {
    child: Child,
    url: String,
    _dir: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A series of an instant query.
#[derive(Debug, Deserialize)]
pub struct Series {
    #[serde(rename = "metric")]
    pub labels: BTreeMap<String, String>,
    value: (f64, String),
}

impl Series {
    pub fn value(&self) -> f64 {
        self.value.1.parse().unwrap()
    }
}

/// What to scrape: name of the job, URL of the admin port (or another page's host), labels.
pub struct Job<'a> {
    pub name: &'a str,
    pub url: &'a str,
    pub labels: &'a [(&'a str, &'a str)],
}

impl Prometheus {
    /// Scrapes each job's `/metrics` every `interval`; `None` where Prometheus is missing and may
    /// be.
    pub fn start(interval: &str, jobs: &[Job<'_>]) -> Option<Self> {
        let programs = programs()?;
        let dir = tempfile::tempdir().unwrap();
        let configuration = dir.path().join("prometheus.json");
        fs::write(&configuration, configure(interval, jobs).to_string()).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let child = Command::new(programs.join("prometheus"))
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .spawn()
            .unwrap();
        let this = Self {
            child,
            url: format!("http://{address}"),
            _dir: dir,
        };
        this.wait_for_scrapes(jobs.len());
        Some(this)
    }

    /// Waits until every job was scraped at a moment after this call.
    pub fn wait_for_scrapes(&self, jobs: usize) {
        let asked = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let began = Instant::now();
        loop {
            let times = self
                .try_query("timestamp(up) and up == 1")
                .unwrap_or_default();
            let newer = |one: &&Series| one.value() > asked.as_secs_f64();
            if times.iter().filter(newer).count() == jobs {
                return;
            }
            assert!(began.elapsed() < LONGEST, "no new scrapes: {times:?}");
            thread::sleep(PAUSE);
        }
    }

    /// An instant query.
    pub fn query(&self, expression: &str) -> Vec<Series> {
        self.try_query(expression).unwrap()
    }

    fn try_query(&self, expression: &str) -> Result<Vec<Series>, String> {
        let output = Command::new(real::directory().join("promtool"))
            .args(["query", "instant", "--format=json", &self.url, expression])
            .output()
            .unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    }
}

/// The configuration; JSON is YAML.
fn configure(interval: &str, jobs: &[Job<'_>]) -> serde_json::Value {
    let jobs: Vec<_> = jobs
        .iter()
        .map(|job| {
            let target = job.url.trim_start_matches("http://");
            let labels: BTreeMap<_, _> = job.labels.iter().copied().collect();
            serde_json::json!({
                "job_name": job.name,
                "static_configs": [{"targets": [target], "labels": labels}],
            })
        })
        .collect();
    serde_json::json!({
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": jobs,
    })
}

/// promtool; `None` where it is missing and may be.
pub fn promtool() -> Option<Command> {
    Some(Command::new(programs()?.join("promtool")))
}

/// What promtool says of a page of metrics; `None` where it is missing and may be.
pub fn check_metrics(page: &str) -> Option<Output> {
    let mut child = promtool()?
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    Some(child.wait_with_output().unwrap())
}

/// The folder of the two programs; `None` where they are missing and may be.
fn programs() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/prometheus");
    let directory = real::directory();
    let status = Command::new(script).arg(&directory).status();
    match status.expect("tests/real/prometheus can be started").code() {
        Some(0) => Some(directory),
        Some(69) => {
            skip::because("Prometheus can't be had");
            None
        }
        _ => panic!("tests/real/prometheus failed"),
    }
}
