//! `kubetoll report`: the report of one run.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::shared::{
    failed::FailedArgs,
    history::StoreArgs,
    inputs::{self, read_record},
    priced::priced,
    prices::PricesArgs,
    results,
};
use record::{HistoryRun, RunRecord, RunResult};
use report::{Asked, Budget, document};
use store::{Filter, Location};
use terminal::{exit::Exit, lines};

/// Write the report of one run: a page, Markdown, JSON or JUnit.
///
/// The page needs nothing else and works offline: the most expensive calls, the cost per object, a
/// table of all calls to sort and filter, wasted calls, calls over time, phases of the objects,
/// standing cost, the run beside the last good ones of its kind, and how exact all that is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll report results/record.json --out report.html
  kubetoll report results/record.json --form md --out - >> $GITHUB_STEP_SUMMARY
  kubetoll report run-1795496959-j5vw5 --budget 'PATCH-pods<=200' --out junit.xml

Exit code 3 if a threshold or a budget is exceeded, 4 if the counts are not valid; the report is
written all the same.")]
pub(super) struct ReportArgs {
    /// The run's record.json, its id in the history, or `newest`.
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    failed: FailedArgs,
    /// The report; what it is follows from its end: .html, .md, .json or .xml (JUnit); `-` for
    /// standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the report is, if the file's name doesn't tell.
    #[arg(long, value_enum, value_name = "FORM")]
    form: Option<Form>,
    /// JSON file with perfscale-audit's thresholdExpectations.
    #[arg(long, value_name = "FILE")]
    thresholds: Option<PathBuf>,
    #[command(flatten)]
    prices: PricesArgs,
    /// A budget such as 'PATCH-pods<=200', or in tolls 'cost-per-object<=70' or
    /// 'cost-per-object:PATCH-pods<=4.5' (without -per-object: of the whole run); repeatable.
    #[arg(long, value_name = "BUDGET")]
    budget: Vec<Budget>,
}

/// What a report can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A page for a browser.
    Html,
    /// Markdown.
    Md,
    /// The result as JSON.
    Json,
    /// JUnit XML.
    Xml,
}

pub(super) fn run(args: &ReportArgs) -> Result<Exit> {
    let form = args.form()?;
    let thresholds = inputs::read_thresholds(args.thresholds.as_deref())?;
    let prices = args.prices.read()?;
    let (record, earlier) = args.read()?;
    let asked = Asked {
        thresholds: thresholds.as_ref(),
        budgets: &args.budget,
        child_exit_code: None,
        prices: prices.as_ref(),
    };
    let result = report::evaluate(&record, &asked);
    let exit = report::run_exit(&result);
    let text = write(form, &record, &result, &earlier)?;
    if args.out == Path::new("-") {
        return Ok(match lines::print(&text) {
            Exit::Ok => exit,
            failed => failed,
        });
    }
    results::write_text(&args.out, &text)?;
    Ok(exit)
}

/// Whether there is a history; a report makes none.
fn has_history(store: &StoreArgs) -> Result<bool> {
    Ok(match store.location()? {
        Location::Sqlite(path) => path.exists(),
        Location::Postgres(_) => true,
    })
}

fn write(
    form: Form,
    record: &RunRecord,
    result: &RunResult,
    earlier: &[HistoryRun],
) -> Result<String> {
    let compared = document::compare(record, earlier);
    let told = document::Document::new(record, result, compared.as_ref());
    Ok(match form {
        Form::Html => document::html(&told)?,
        Form::Md => document::markdown(&told)?,
        Form::Xml => document::junit(result)?,
        Form::Json => {
            let mut text = serde_json::to_string_pretty(result)?;
            text.push('\n');
            text
        }
    })
}

impl ReportArgs {
    /// The run's record, and the last runs of its kind in the history. Without a history there is
    /// nothing to compare a file with; an id can't be without one.
    fn read(&self) -> Result<(RunRecord, Vec<HistoryRun>)> {
        let path = Path::new(&self.run);
        if path.is_file() && !has_history(&self.store)? {
            return Ok((read_record(path)?, Vec::new()));
        }
        let mut store = self.store.open()?;
        let record = if path.is_file() {
            read_record(path)?
        } else {
            self.store.find_record(&mut store, &self.run)?
        };
        let filter = Filter {
            scenario: Some(record.scenario.clone()),
            until: Some(record.started),
            ..Filter::default()
        };
        let mut history = store.runs(&filter)?;
        history.retain(|run| self.failed.takes(run));
        history.extend(store.run(&record.id)?);
        let earlier = document::earlier(&record, history);
        let earlier = priced(&mut store, earlier)?;
        Ok((record, earlier))
    }

    fn form(&self) -> Result<Form> {
        if let Some(form) = self.form {
            return Ok(form);
        }
        match self.out.extension().and_then(|end| end.to_str()) {
            Some("html") => Ok(Form::Html),
            Some("md") => Ok(Form::Md),
            Some("json") => Ok(Form::Json),
            Some("xml") => Ok(Form::Xml),
            _ => bail!(
                "{} does not end in .html, .md, .json or .xml: say with --form what it is to be",
                self.out.display()
            ),
        }
    }
}
