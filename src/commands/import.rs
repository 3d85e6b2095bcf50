//! `kubetoll import`: what others measured, into the history.

use std::{
    cell::{Cell, RefCell},
    fs::{self, File},
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::shared::{
    audit_logs,
    history::{StoreArgs, key_value, time},
    imported::finish,
    output::Output,
};
use exchange::{ImportError, Known};
use record::{HistoryRun, ImportReport, label};
use terminal::{exit::Exit, tell};
use verify::audit::{AuditCounter, AuditFilter};

/// Largest file that is read, unpacked. KubeVirt's are some kilobytes, the points of its graphs two
/// megabytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Take what others measured into the history.
///
/// Imported runs are marked with where their numbers come from: estimates by Prometheus never are
/// mixed with exact counts unless one asks for it. Importing the same again changes nothing. A file
/// that can't be read is named and skipped; the exit code is 1 then.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll import kubevirt-ci ci-performance-benchmarks
  kubetoll import perfscale-audit --job nightly --at 2026-11-24T05:00:00Z VMI-perf-audit-results.json
  kubetoll import audit --scenario vmi --job nightly audit.log audit-old.log.gz
  kubetoll import kube-burner --scenario vm collected-metrics")]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All runs that KubeVirt's CI published: DIR/results/JOB/BUILD/results.json.
    ///
    /// Each build becomes a run of scenario vmi and one of scenario vm, as far as it has results. A
    /// metric that a build doesn't have stays absent, and so do quantiles of which P50 and P95 are
    /// 0: then nothing was observed.
    KubevirtCi {
        /// A checkout of kubevirt/ci-performance-benchmarks, or its folder results.
        dir: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// One results file of perfscale-audit, or of KubeVirt's performance tests.
    PerfscaleAudit {
        /// Such as VMI-perf-audit-results.json, whose name tells the scenario.
        file: PathBuf,
        /// When the run was: the file doesn't tell [default: when the file was last changed].
        #[arg(long, value_name = "TIME", value_parser = time)]
        at: Option<Timestamp>,
        #[command(flatten)]
        common: Common,
    },
    /// Audit logs of a kube-apiserver, all together as one run: exact counts.
    Audit {
        /// Audit logs, gzipped or not.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Only requests answered at this time or later.
        #[arg(long, value_name = "TIME", value_parser = time)]
        since: Option<Timestamp>,
        /// Only requests answered before this time.
        #[arg(long, value_name = "TIME", value_parser = time)]
        until: Option<Timestamp>,
        #[command(flatten)]
        common: Common,
    },
    /// A metrics folder that kube-burner's local indexer wrote, with KubeVirt's metric profile.
    ///
    /// Each job of it becomes a run with perfscale-audit's names, which kube-burner itself doesn't
    /// write. Its own latencies are kept apart, as vmiLatencyVMIRunningSecondsP50 and so on.
    KubeBurner {
        /// The folder.
        dir: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// The points behind the graphs of KubeVirt's benchmark page, as JSON, gzipped or not.
    ///
    /// Each point becomes a run with one value, since the graphs don't tell which points are of one
    /// run, nor the time of the day, nor whether a 0 was counted or is a metric that the run didn't
    /// have.
    KubevirtGraphs {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
}

/// What all have.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    store: StoreArgs,
    /// The job to file the runs under [default: what the source says].
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// What was run, such as vmi, vm or instancetype [default: what the source says].
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// A label for each run; repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    label: Vec<(String, String)>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: ImportArgs) -> Result<Exit> {
    match args.what {
        What::KubevirtCi { dir, common } => kubevirt_ci(&dir, &common),
        What::PerfscaleAudit { file, at, common } => perfscale_audit(&file, at, &common),
        What::Audit {
            files,
            since,
            until,
            common,
        } => {
            let filter = AuditFilter {
                since,
                until,
                components: Vec::new(),
            };
            audit_log(&files, filter, &common)
        }
        What::KubeBurner { dir, common } => {
            let files = files_of(&dir, "json")?;
            let texts: Vec<Vec<u8>> = files.iter().map(|path| read(path)).collect::<Result<_>>()?;
            let runs = exchange::burner_runs(texts.iter().map(Vec::as_slice), &common.known());
            let runs = runs.map_err(|error| match error {
                ImportError::Empty => anyhow::anyhow!(
                    "{} has no document of kube-burner: is it the metricsDirectory of its local \
                     indexer?",
                    dir.display()
                ),
                error => error.into(),
            })?;
            common.append(runs)
        }
        What::KubevirtGraphs { file, common } => {
            let runs = exchange::graph_runs(&read(&file)?, &common.known());
            common.append(runs.with_context(|| file.display().to_string())?)
        }
    }
}

impl Common {
    fn known(&self) -> Known {
        let mut labels: std::collections::BTreeMap<_, _> = self.label.iter().cloned().collect();
        let given = [(label::JOB, &self.job), (label::SCENARIO, &self.scenario)];
        for (name, value) in given {
            if let Some(value) = value {
                labels.insert(name.to_owned(), value.clone());
            }
        }
        Known { labels }
    }

    fn append(&self, runs: Vec<HistoryRun>) -> Result<Exit> {
        let bar = progress(runs.len());
        let tally = self
            .store
            .open_or_make()?
            .append_all(bar.wrap_iter(runs.into_iter()))?;
        bar.finish_and_clear();
        let report = ImportReport {
            runs: tally,
            skipped: Vec::new(),
        };
        finish(&report, self.output)
    }
}

fn kubevirt_ci(dir: &Path, common: &Common) -> Result<Exit> {
    let below = dir.join("results");
    let root = if below.is_dir() {
        below
    } else {
        dir.to_owned()
    };
    let mut builds = Vec::new();
    for job in folders(&root)? {
        for build in folders(&root.join(&job))? {
            let path = root.join(&job).join(&build).join("results.json");
            if path.exists() {
                builds.push((job.clone(), build, path));
            }
        }
    }
    if builds.is_empty() {
        bail!(
            "{} has no results/JOB/BUILD/results.json: name a checkout of \
             kubevirt/ci-performance-benchmarks",
            dir.display()
        );
    }
    let (known, bar) = (common.known(), progress(builds.len()));
    let skipped = RefCell::new(Vec::new());
    let runs = builds.iter().flat_map(|(job, build, path)| {
        bar.inc(1);
        let runs = read(path).and_then(|text| {
            let runs = exchange::ci_runs(job, build, &text, &known);
            runs.with_context(|| path.display().to_string())
        });
        runs.unwrap_or_else(|error| {
            bar.suspend(|| tell!("kubetoll: skipped: {error:#}"));
            skipped.borrow_mut().push(format!("{error:#}"));
            Vec::new()
        })
    });
    let tally = common.store.open_or_make()?.append_all(runs)?;
    bar.finish_and_clear();
    let report = ImportReport {
        runs: tally,
        skipped: skipped.into_inner(),
    };
    finish(&report, common.output)
}

fn perfscale_audit(file: &Path, at: Option<Timestamp>, common: &Common) -> Result<Exit> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let scenario = common.scenario.as_deref();
    let scenario = scenario.or_else(|| exchange::scenario_of_file(&name));
    let scenario = scenario.context("the file's name doesn't tell what was run: add --scenario")?;
    let text = read(file)?;
    let at = match at {
        Some(at) => at,
        None => Timestamp::try_from(fs::metadata(file)?.modified()?)?,
    };
    let id = format!("perfscale-audit/{}", digest(&text));
    let run = exchange::perf_audit_run(id, at, scenario, &text, &common.known());
    common.append(vec![run.with_context(|| file.display().to_string())?])
}

fn audit_log(files: &[PathBuf], filter: AuditFilter, common: &Common) -> Result<Exit> {
    let scenario = common.scenario.as_deref();
    let scenario = scenario.context("an audit log doesn't tell what was run: add --scenario")?;
    let mut counter = AuditCounter::new(filter.clone());
    let first: Cell<Option<Timestamp>> = Cell::new(None);
    let damaged = audit_logs::read_all(files, |entry| {
        if filter.takes(&entry) {
            let earlier = first
                .get()
                .map_or(entry.received, |at| at.min(entry.received));
            first.set(Some(earlier));
        }
        counter.add(&entry);
    })?;
    let report = counter.report();
    let at = filter.since.or(first.get());
    let at = at.context("the log has no request of that time")?;
    let id = format!("audit/{}", digest(&serde_json::to_vec(&(at, &report))?));
    let run = exchange::audit_run(id, at, scenario, &report, &common.known());
    let exit = common.append(vec![run.context("the log has no request of that time")?])?;
    Ok(if damaged > 0 { Exit::Failed } else { exit })
}

/// A file as it is, or unpacked.
fn read(path: &Path) -> Result<Vec<u8>> {
    let name = || format!("cannot read {}", path.display());
    let mut plain = io::BufReader::new(File::open(path).with_context(name)?);
    let is_gzip = io::BufRead::fill_buf(&mut plain)
        .with_context(name)?
        .starts_with(&[0x1f, 0x8b]);
    let mut text = Vec::new();
    let read = if is_gzip {
        MultiGzDecoder::new(plain)
            .take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut text)
    } else {
        plain.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)
    };
    if read.with_context(name)? as u64 > FILE_BYTES_MAX {
        bail!(
            "{} is larger than {} MiB",
            path.display(),
            FILE_BYTES_MAX >> 20
        );
    }
    Ok(text)
}

/// Names of the folders in a folder, in their order.
fn folders(dir: &Path) -> Result<Vec<String>> {
    let failed = || format!("cannot read {}", dir.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Files of a folder with that extension, in their order.
fn files_of(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let failed = || format!("cannot read {}", dir.display());
    let entries = fs::read_dir(dir).with_context(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<io::Result<Vec<_>>>().with_context(failed)?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    Ok(paths)
}

/// Names content that has no name of its own.
fn digest(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A bar on a terminal, nothing elsewhere.
fn progress(length: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("import {wide_bar} {pos}/{len} {elapsed}");
    ProgressBar::new(length as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
