//! `kubetoll runs`: the history.

mod copy;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::shared::{
    history::{SelectArgs, StoreArgs, key_value},
    imported,
    output::Output,
};
use record::{HistoryRun, label};
use report::history_text;
use terminal::{
    exit::{Exit, Misuse},
    lines, tell,
};

/// How many runs a list has.
const LAST: usize = 20;

/// List, show, label, remove, check and copy the runs of the history.
///
/// `kubetoll run` and `kubetoll measure` add to the history by themselves, `kubetoll import` adds
/// what others published. A run never changes: labels and removals are entries of their own, and
/// what is removed can be restored.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll runs list --scenario vmi --since 2026-11-01
  kubetoll runs show run-1795496959
  kubetoll runs label run-1795496959-j5vw5 commit=d923fdb8
  kubetoll runs export --out history.jsonl && kubetoll runs import --store team.db history.jsonl")]
pub(super) struct RunsArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Runs by time, the latest last.
    ///
    /// An id is shown as short as it can be: the end of an imported run's will do wherever a run is
    /// named, as a beginning does.
    List(ListArgs),
    /// One run with its numbers; with --output json also its raw record.
    Show {
        /// Its id, or a beginning or an end of it that no other run has.
        id: String,
        #[command(flatten)]
        common: Common,
    },
    /// Give a run labels, or take them away.
    Label {
        /// Its id, or a beginning or an end of it that no other run has.
        id: String,
        /// KEY=VALUE gives a label, KEY- takes one away. A run's own scenario and Kubernetes version
        /// stay.
        #[arg(required = true, value_name = "KEY=VALUE|KEY-", value_parser = change)]
        labels: Vec<(String, Option<String>)>,
        #[command(flatten)]
        common: Common,
    },
    /// Remove runs from sight, all that are named or none.
    ///
    /// They stay in the history, do not come back when they are imported again, and --undo restores
    /// them.
    Delete {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
        /// Restore runs that were removed.
        #[arg(long)]
        undo: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Write runs with their raw records, one JSON document a line.
    Export {
        #[command(flatten)]
        select: SelectArgs,
        #[command(flatten)]
        store: StoreArgs,
        /// The file [default: standard output].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Read runs that were exported, or the record.json of a run.
    Import {
        /// The files; `-` is standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Read the whole history and compare each run with the hash of what was appended.
    Check(Common),
}

/// What all have.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    store: StoreArgs,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    select: SelectArgs,
    /// Only the last so many [default: 20, but all with --output json].
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// All runs.
    #[arg(long, conflicts_with = "last")]
    all: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: RunsArgs) -> Result<Exit> {
    match args.what {
        What::List(args) => list(&args),
        What::Show { id, common } => show(&id, &common),
        What::Label { id, labels, common } => label(&id, labels, &common),
        What::Delete { ids, undo, common } => delete(&ids, undo, &common),
        What::Export { select, store, out } => copy::export(&select, &store, out.as_deref()),
        What::Import { files, common } => {
            let report = copy::import(&files, &common.store)?;
            imported::finish(&report, common.output)
        }
        What::Check(common) => check(&common),
    }
}

impl Common {
    /// Prints a value as JSON, or as the text that `text` makes of it.
    fn print<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> Result<Exit> {
        Ok(lines::print(&self.output.of(value, text)?))
    }
}

fn list(args: &ListArgs) -> Result<Exit> {
    let mut store = args.common.store.open()?;
    let mut runs = store.runs(&args.select.filter())?;
    if runs.is_empty() && matches!(args.common.output, Output::Text) {
        // An answer, and no failure.
        tell!("kubetoll: {:#}", args.common.store.no_such_run(&mut store));
        return Ok(Exit::Ok);
    }
    let by_default = match args.common.output {
        Output::Text if !args.all => LAST,
        _ => runs.len(),
    };
    let last = args.last.unwrap_or(by_default);
    if matches!(args.common.output, Output::Json) {
        runs.drain(..runs.len().saturating_sub(last));
    }
    args.common
        .print(&runs, |runs| history_text::runs(runs, last))
}

fn show(id: &str, common: &Common) -> Result<Exit> {
    let run = common.store.open()?.existing_run(id)?;
    common.print(&run, history_text::run)
}

fn label(id: &str, labels: Vec<(String, Option<String>)>, common: &Common) -> Result<Exit> {
    let mut store = common.store.open()?;
    let labels: BTreeMap<_, _> = labels.into_iter().collect();
    refuse_facts(&store.existing_run(id)?, labels.keys())?;
    let id = store.label(id, &labels)?;
    let run = store.run(&id)?.context("the run was removed meanwhile")?;
    // Its record is told of and not shown.
    common.print(&run.without_record(), |_| history_text::run(&run))
}

/// What was run and on what is not for a label to say, once it is known.
fn refuse_facts<'n>(run: &HistoryRun, mut names: impl Iterator<Item = &'n String>) -> Result<()> {
    let is_fact = |name: &str| label::FACTS.contains(&name) && !run.label(name).is_empty();
    if let Some(name) = names.find(|name| is_fact(name)) {
        bail!(Misuse(format!(
            "{name} is what run {} was, {}: a fact of the run, and no label to change or to take \
             away. Use a label of another name",
            run.id,
            run.label(name)
        )));
    }
    Ok(())
}

fn delete(ids: &[String], undo: bool, common: &Common) -> Result<Exit> {
    let mut store = common.store.open()?;
    let ids = if undo {
        store.restore(ids)?
    } else {
        store.delete(ids)?
    };
    let what = if undo { "restored" } else { "removed" };
    common.print(&ids, |ids| {
        ids.iter().map(|id| format!("{what} {id}\n")).collect()
    })
}

fn check(common: &Common) -> Result<Exit> {
    let checked = common.store.open()?.check()?;
    let exit = common.print(&checked, history_text::checked)?;
    Ok(if checked.damage.is_empty() {
        exit
    } else {
        Exit::Failed
    })
}

/// `KEY=VALUE`, or `KEY-` for `None`.
fn change(text: &str) -> Result<(String, Option<String>), String> {
    match text.strip_suffix('-') {
        Some(key) if !text.contains('=') => {
            label::check(key, "")?;
            Ok((key.to_owned(), None))
        }
        _ => key_value(text).map(|(key, value)| (key, Some(value))),
    }
}
