//! `kubetoll budget`: a snapshot test for API calls.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::shared::{
    failed::FailedArgs,
    history::{SelectArgs, StoreArgs},
    inputs::{parse_yaml, read_run},
    output::Output,
    results::write_file,
};
use record::{
    BUDGET_SCHEMA, BudgetFile, BudgetReport, HistoryRun, RunResult, ScenarioBudget, label,
};
use report::Asked;
use store::Store;
use terminal::{exit::Exit, lines, tell};

/// The beginning of a file of budgets.
const HEAD: &str = "\
# What each component may call how often per object, by scenario, and what its calls may cost in
# tolls. Checked by `kubetoll budget`, written by `kubetoll budget --update`, which keeps no other
# comment than this one.
";

/// Check what runs cost against budgets in your repository, as a snapshot test does.
///
/// The file says for each scenario how often each component may make each call per object, all
/// codes together. A call that is not in it has no budget. Only calls that name the run's namespace
/// count; leases and watches don't. It may also say what the calls of a component may cost per object:
/// all together (cost: 31), or those of one row (cost:PATCH-pods: 4.5), in tolls, of which one is a
/// get of one Lease, by the prices that Kubetoll comes with. RUN is a record.json or a run's id; without one, the newest
/// valid run of each scenario of the file is taken from the history.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll run vmi --results-dir results && kubetoll budget results/record.json --update
  kubetoll budget results/record.json
  kubetoll budget --file perf/budget.yaml --job nightly
  kubetoll budget results/record.json --update --cost-margin 5

Several runs of a scenario at once: each must keep the budgets, and --update takes the most that one
of them needs. Exit codes: 3 a budget is exceeded, 4 a run is not valid or a cost is
not known.")]
pub(super) struct BudgetArgs {
    /// record.json files or ids of runs of the history.
    #[arg(value_name = "RUN")]
    runs: Vec<String>,
    /// The file with the budgets.
    #[arg(long, value_name = "FILE", default_value = "kubetoll-budget.yaml")]
    file: PathBuf,
    /// Write what the runs need into the file. Other scenarios stay as they are, and so do costs.
    #[arg(long)]
    update: bool,
    /// Write also what the calls of each component may cost per object: so many percent above what
    /// the runs took, for sizes differ from run to run. Costs of rows that are in the file are
    /// written anew.
    #[arg(long, value_name = "PERCENT", requires = "update", value_parser = percent)]
    cost_margin: Option<f64>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    failed: FailedArgs,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &BudgetArgs) -> Result<Exit> {
    let mut file = read(&args.file, args.update)?;
    let runs = args.runs(&file)?;
    let mut report = args.report(&runs);
    let results: Vec<RunResult> = runs.into_iter().map(evaluated).collect::<Result<_>>()?;
    let mut by_scenario: BTreeMap<&str, Vec<&RunResult>> = BTreeMap::new();
    for result in &results {
        by_scenario
            .entry(&result.scenario)
            .or_default()
            .push(result);
    }
    if args.cost_margin.is_some() {
        args.price(&mut file, &by_scenario)?;
    }
    let mut is_known = args.has_these_prices(&file);
    for (scenario, results) in by_scenario {
        let spent = report::spent(results);
        if args.update && report.counts() {
            let old = file.scenarios.get(scenario);
            let new = report::renewed(&spent, old, args.cost_margin);
            file.scenarios.insert(scenario.to_owned(), new);
        }
        let allowed = file.scenarios.get(scenario).with_context(|| {
            let path = args.file.display();
            format!("{path} has no budget for scenario {scenario}: make one with --update")
        })?;
        is_known &= are_priced(&spent, allowed);
        report
            .rows
            .extend(report::check_budget(scenario, &spent, allowed));
    }
    let exit = if is_known {
        verdict(&report)
    } else {
        Exit::NotValid
    };
    if args.update && report.counts() {
        write(&args.file, &file)?;
    }
    let text = args.output.of(&report, report::budget_text)?;
    let written = lines::print(&text);
    Ok(exit.or(written))
}

fn verdict(report: &BudgetReport) -> Exit {
    if !report.counts() {
        Exit::NotValid
    } else if report.rows.iter().all(|row| row.kept) {
        Exit::Ok
    } else {
        Exit::NotMet
    }
}

/// Whether all costs that are allowed can be judged; says which can't.
fn are_priced(spent: &ScenarioBudget, allowed: &ScenarioBudget) -> bool {
    let unpriced = report::unpriced(spent, allowed);
    for cost in &unpriced {
        tell!("kubetoll: {cost} is not known: the list that Kubetoll comes with has no such price");
    }
    unpriced.is_empty()
}

impl BudgetArgs {
    /// Whether the file's costs are by the list that this Kubetoll comes with; says so if not.
    fn has_these_prices(&self, file: &BudgetFile) -> bool {
        let ours = report::standard_name();
        let Some(theirs) = file.prices.as_deref().filter(|theirs| *theirs != ours) else {
            return true;
        };
        let name = self.file.display();
        tell!(
            "kubetoll: the costs in {name} are by the list of {theirs}, and this Kubetoll comes with \
             that of {ours}: write them anew with --update --cost-margin"
        );
        false
    }

    /// Enters by which list costs are written. One file has costs by one list.
    fn price(&self, file: &mut BudgetFile, runs: &BTreeMap<&str, Vec<&RunResult>>) -> Result<()> {
        let ours = report::standard_name();
        let is_new = file.prices.as_deref().is_some_and(|theirs| theirs != ours);
        let mut others = file.scenarios.keys();
        let other = others.find(|scenario| !runs.contains_key(scenario.as_str()));
        if let (true, Some(other)) = (is_new, other) {
            let name = self.file.display();
            bail!(
                "the costs in {name} are by another list than this Kubetoll comes with: write those \
                 of all scenarios at once, with a run of {other}, too"
            );
        }
        file.prices = Some(ours.to_owned());
        Ok(())
    }

    fn runs(&self, file: &BudgetFile) -> Result<Vec<HistoryRun>> {
        if self.runs.is_empty() {
            return self.newest(file);
        }
        self.runs.iter().map(|run| self.named(run)).collect()
    }

    /// The report of these runs, without what they spent. A run that was named and does not count
    /// makes the whole report one that is not valid.
    fn report(&self, runs: &[HistoryRun]) -> BudgetReport {
        let not_valid = runs.iter().filter(|run| !run.valid).count();
        let all_count = runs.iter().all(|run| self.failed.takes(run));
        BudgetReport {
            runs: runs.iter().map(|run| run.id.clone()).collect(),
            valid: not_valid == 0,
            not_valid: if all_count { not_valid } else { 0 },
            rows: Vec::new(),
        }
    }

    fn named(&self, name: &str) -> Result<HistoryRun> {
        let path = Path::new(name);
        if path.is_file() {
            return read_run(path);
        }
        let place = self.store.location()?;
        let found = self.store.open()?.run(name)?;
        found.with_context(|| format!("{name} is no file and no run of the history {place}"))
    }

    /// The newest run of each scenario that counts, among those that were asked for.
    fn newest(&self, file: &BudgetFile) -> Result<Vec<HistoryRun>> {
        let mut store = self.store.open()?;
        let mut newest: BTreeMap<String, String> = BTreeMap::new();
        for run in store.runs(&self.select.filter())? {
            let scenario = run.label(label::SCENARIO);
            let wanted = self.update || file.scenarios.contains_key(scenario);
            if self.failed.takes(&run) && run.origin.is_exact() && wanted {
                newest.insert(scenario.to_owned(), run.id);
            }
        }
        if newest.is_empty() {
            let place = self.store.location()?;
            bail!("the history {place} has no valid run of a scenario of the budgets; name one");
        }
        newest.values().map(|id| full(&mut store, id)).collect()
    }
}

fn full(store: &mut Store, id: &str) -> Result<HistoryRun> {
    let found = store.run(id)?;
    found.with_context(|| format!("run {id} is gone"))
}

fn evaluated(run: HistoryRun) -> Result<RunResult> {
    let Some(record) = run.record else {
        bail!(
            "run {} was imported without its rows, so that nothing can be budgeted",
            run.id
        );
    };
    let prices = prices::standard().context("the list that Kubetoll comes with")?;
    let asked = Asked {
        prices: Some(prices),
        ..Asked::default()
    };
    Ok(report::evaluate(&record, &asked))
}

/// A margin.
fn percent(text: &str) -> Result<f64, String> {
    let percent: Option<f64> = text.trim_end_matches('%').trim().parse().ok();
    let percent = percent.filter(|percent| (0.0..=1000.0).contains(percent));
    percent.ok_or_else(|| "a margin is between 0 and 1000 percent, such as 5".to_owned())
}

fn read(path: &Path, may_be_new: bool) -> Result<BudgetFile> {
    let name = path.display();
    if may_be_new && !path.exists() {
        return Ok(BudgetFile::default());
    }
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read {name}: make it with --update"))?;
    let file: BudgetFile =
        parse_yaml(&text).with_context(|| format!("{name} is no file of budgets"))?;
    if file.schema != BUDGET_SCHEMA {
        bail!(
            "{name} has schema {}, and this version reads {BUDGET_SCHEMA}",
            file.schema
        );
    }
    Ok(file)
}

/// All or nothing; scenarios, components and rows in their alphabetical order.
fn write(path: &Path, file: &BudgetFile) -> Result<()> {
    let text = serde_saphyr::to_string(file).context("cannot write the budgets as YAML")?;
    write_file(path, format!("{HEAD}{text}").as_bytes())
}
