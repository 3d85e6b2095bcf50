//! `kubetoll export`: the history in the forms of others.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::shared::{
    failed::FailedArgs,
    history::{SelectArgs, StoreArgs},
    sizes::SizeArgs,
};
use exchange::Export;
use record::number_of;
use terminal::{exit::Exit, tell};

/// Write runs of the history in a form that others read.
///
/// json: runs.jsonl, one document a line, which `kubetoll runs import` reads. csv: values.csv, one
/// line for each value. otava: otava.yaml with one table for each series, for Apache Otava.
/// openmetrics: history.openmetrics with the times of the runs, for promtool. kubevirt-results and
/// kubevirt-weekly: the layouts of kubevirt/ci-performance-benchmarks, weeks by their Monday.
///
/// Where a form can't tell origins apart, runs of one job and scenario have to be of one origin.
/// The series of otava and the averages of kubevirt-weekly are of runs with as many objects: see
/// --objects.
/// json and csv have all runs, and say which are not valid.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll export csv --out tables
  kubetoll export kubevirt-weekly --job nightly --origin counted --out benchmarks
  kubetoll export otava --scenario vm --out otava && cd otava &&
    otava --config-file otava.yaml analyze nightly.vm.PATCH-pods-count")]
pub(super) struct ExportArgs {
    /// The form.
    #[arg(value_enum)]
    form: Form,
    /// Folder for the files; files of the same names are replaced.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    failed: FailedArgs,
    #[command(flatten)]
    sizes: SizeArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// A form that another tool reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Json,
    Csv,
    Otava,
    #[value(name = "openmetrics")]
    OpenMetrics,
    KubevirtResults,
    KubevirtWeekly,
}

impl Form {
    /// Whether values of several runs come into one series or average.
    fn has_series(self) -> bool {
        matches!(self, Self::Otava | Self::KubevirtWeekly)
    }
}

pub(super) fn run(args: &ExportArgs) -> Result<Exit> {
    let form = match args.form {
        Form::Json => Export::Json,
        Form::Csv => Export::Csv,
        Form::Otava => Export::Otava,
        Form::OpenMetrics => Export::OpenMetrics,
        Form::KubevirtResults => Export::KubevirtResults,
        Form::KubevirtWeekly => Export::KubevirtWeekly,
    };
    let mut store = args.store.open()?;
    let mut runs = store.runs(&args.select.filter())?;
    // These two say of each run whether it is valid, and have all.
    if !matches!(args.form, Form::Json | Form::Csv) {
        runs = args.failed.taken("the history", runs);
    }
    if args.form.has_series() {
        runs = args.sizes.taken(runs, false);
    }
    if runs.is_empty() {
        return Err(args.store.no_such_run(&mut store));
    }
    let written = exchange::export(form, &runs)?;
    for (path, text) in &written.files {
        let path = args.out.join(path);
        let failed = || format!("cannot write {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(failed)?;
        }
        fs::write(&path, text).with_context(failed)?;
    }
    for left_out in &written.left_out {
        tell!("left out: {left_out}");
    }
    let runs = number_of((runs.len() - written.runs_left_out) as u64, "run");
    let files = number_of(written.files.len() as u64, "file");
    tell!("{runs}, {files} in {}", args.out.display());
    Ok(Exit::Ok)
}
