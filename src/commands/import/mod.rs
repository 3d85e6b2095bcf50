//! `kubetoll import`: what others measured, into the history.

mod files;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use self::files::{Found, all, read};
use super::shared::{
    audit_logs,
    history::{StoreArgs, key_value, time},
    imported::finish,
    inputs::tell_of_record,
    output::Output,
};
use exchange::{BurnerFile, BurnerRuns, ImportError, Known, NotAllRunning};
use record::{AuditCount, HistoryRun, ImportReport, Value, label};
use terminal::exit::Exit;
use verify::audit::{AuditCounter, AuditFilter};

/// Take what others measured into the history.
///
/// Imported runs are marked with where their numbers come from: estimates by Prometheus never are
/// mixed with exact counts unless one asks for it. Importing the same again changes nothing. A file
/// that can't be read is named and skipped; the exit code is 1 then. A run of which not all VMIs were
/// Running when they were counted is kept and is not valid, so that it is in no comparison.
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
    /// 0: then nothing was observed. A run of which fewer VMIs were Running than the test asks for
    /// (100, and 90 from 2023-10-03 to 10-20), or some were in another phase, is not valid.
    KubevirtCi {
        /// A checkout of kubevirt/ci-performance-benchmarks, its folder results, or a tar archive of
        /// either, gzipped or not.
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
    /// Files may be lists of documents or JSON lines. What is in them twice is taken once, and what is
    /// left out is named. If a file is cut off, the runs are kept as incomplete and not valid, and the
    /// whole ones can still be imported.
    ///
    /// Each job of it becomes a run with perfscale-audit's names, which kube-burner itself doesn't
    /// write. Its own latencies are kept apart, as vmiLatencyVMIRunningSecondsP50 and so on.
    KubeBurner {
        /// The folder, a tar archive of it (such as kube-burner's createTarball makes), gzipped or not,
        /// or one file of it.
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
        What::KubeBurner { dir, common } => kube_burner(&dir, &common),
        What::KubevirtGraphs { file, common } => {
            let runs = exchange::graph_runs(&read(&file)?, &common.known());
            let runs = runs.with_context(|| file.display().to_string())?;
            common.append(runs, ImportReport::default())
        }
    }
}

impl Common {
    fn known(&self) -> Known {
        let mut labels: BTreeMap<_, _> = self.label.iter().cloned().collect();
        let given = [(label::JOB, &self.job), (label::SCENARIO, &self.scenario)];
        for (name, value) in given {
            if let Some(value) = value {
                labels.insert(name.to_owned(), value.clone());
            }
        }
        Known { labels }
    }

    /// Adds runs to the history; `report` has what is known of what isn't among them.
    fn append(&self, runs: Vec<HistoryRun>, mut report: ImportReport) -> Result<Exit> {
        report.not_valid = runs.iter().filter_map(not_valid).collect();
        let bar = progress(runs.len());
        report.runs = self
            .store
            .open_or_make()?
            .append_all(bar.wrap_iter(runs.into_iter()))?;
        bar.finish_and_clear();
        finish(&report, self.output)
    }
}

/// Why a run is not valid, if it isn't.
fn not_valid(run: &HistoryRun) -> Option<String> {
    if run.valid {
        return None;
    }
    let why = match NotAllRunning::of_run(run) {
        Some(not_all) => not_all.to_string(),
        None if run.id.ends_with("/incomplete") => "not all of its files could be read".to_owned(),
        None => "its source says that it did not pass, or can't be counted in full".to_owned(),
    };
    Some(format!("{}: {why}", run.id))
}

fn kubevirt_ci(dir: &Path, common: &Common) -> Result<Exit> {
    let (builds, problem) = files::kubevirt_builds(dir)?;
    if builds.is_empty() {
        bail!(
            "{} has no results/JOB/BUILD/results.json: name a checkout of \
             kubevirt/ci-performance-benchmarks, or an archive of one",
            dir.display()
        );
    }
    let (known, bar) = (common.known(), progress(builds.len()));
    let report = RefCell::new(ImportReport {
        skipped: problem.into_iter().collect(),
        ..ImportReport::default()
    });
    let runs = builds.into_iter().flat_map(|build| {
        bar.inc(1);
        let (job, id, name) = (build.job.clone(), build.id.clone(), build.name.clone());
        let runs = build.text().and_then(|text| {
            let runs = exchange::ci_runs(&job, &id, &text, &known);
            runs.with_context(|| name)
        });
        let mut report = report.borrow_mut();
        let runs = runs.unwrap_or_else(|error| {
            report.skipped.push(format!("{error:#}"));
            Vec::new()
        });
        report.not_valid.extend(runs.iter().filter_map(not_valid));
        runs
    });
    let tally = common.store.open_or_make()?.append_all(runs)?;
    bar.finish_and_clear();
    let mut report = report.into_inner();
    report.runs = tally;
    finish(&report, common.output)
}

fn kube_burner(path: &Path, common: &Common) -> Result<Exit> {
    let found = all(path, "json")?;
    let files = found
        .files
        .iter()
        .map(|Found { name, text }| BurnerFile { name, text });
    let damaged = found.problem.iter().cloned().collect();
    let runs = exchange::burner_runs(files, damaged, &common.known());
    let BurnerRuns {
        runs,
        damaged,
        left_out,
    } = runs.map_err(|error| match error {
        ImportError::Empty => anyhow::anyhow!(
            "{} has no document of kube-burner: is it the metricsDirectory of its local indexer?",
            path.display()
        ),
        error => anyhow::Error::from(error).context(path.display().to_string()),
    })?;
    let report = ImportReport {
        skipped: damaged,
        left_out,
        ..ImportReport::default()
    };
    common.append(runs, report)
}

fn perfscale_audit(file: &Path, at: Option<Timestamp>, common: &Common) -> Result<Exit> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let scenario = common.scenario.as_deref();
    let scenario = scenario.or_else(|| exchange::scenario_of_file(&name));
    let scenario = scenario.context("the file's name doesn't tell what was run: add --scenario")?;
    let text = read(file)?;
    tell_of_record(file);
    let at = match at {
        Some(at) => at,
        None => Timestamp::try_from(fs::metadata(file)?.modified()?)?,
    };
    let id = format!("perfscale-audit/{}", digest(&text));
    let run = exchange::perf_audit_run(id, at, scenario, &text, &common.known());
    let run = run.with_context(|| file.display().to_string())?;
    common.append(vec![run], ImportReport::default())
}

fn audit_log(files: &[PathBuf], filter: AuditFilter, common: &Common) -> Result<Exit> {
    let scenario = common.scenario.as_deref();
    let scenario = scenario.context("an audit log doesn't tell what was run: add --scenario")?;
    let mut counter = AuditCounter::new(filter.clone());
    let first: Cell<Option<Timestamp>> = Cell::new(None);
    let read = audit_logs::read_all(files, |entry| {
        if filter.takes(&entry) {
            let earlier = first
                .get()
                .map_or(entry.received, |at| at.min(entry.received));
            first.set(Some(earlier));
        }
        counter.add(&entry);
    })?;
    read.tell_wrapped();
    let report = counter.report(read.log.clone());
    let at = filter.since.or(first.get());
    let nothing = || format!("nothing was counted in the log: {}", read.nothing());
    let at = at.with_context(nothing)?;
    let content = Content {
        counts: &report.counts,
        values: &report.values,
    };
    let id = format!("audit/{}", digest(&serde_json::to_vec(&(at, &content))?));
    let run = exchange::audit_run(id, at, scenario, &report, &common.known());
    let mut run = run.with_context(nothing)?;
    run.valid = report.log.missing.is_empty();
    let exit = common.append(vec![run], ImportReport::default())?;
    Ok(exit.or(read.exit()))
}

/// What an imported log is named after: what is counted in it, however it was wrapped.
#[derive(Serialize)]
struct Content<'a> {
    counts: &'a [AuditCount],
    values: &'a BTreeMap<String, Value>,
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
