//! `kubetoll run`: a density run in a lab or on a cluster.

mod args;
mod lab;
mod place;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::shared::{
    exits, inputs::read_thresholds, progress::Terminal, results, settle::refuse_restless, spool,
};
use driver::{
    ComponentWatch, Driver, Hooks, Plan, Roster, RunFailed, Spool, WindowHook,
    pricing::{ApiServerWatch, NotKnown},
};
use lab::{Compared, Lab};
use place::Place;
use record::{ApiServerUsage, BooksKept, Crosscheck, RunRecord, RunResult, label};
use report::Asked;
use terminal::{exit::Exit, tell};

pub(super) use args::RunArgs;

pub(super) async fn run(args: RunArgs, stop: CancellationToken) -> Result<Exit> {
    let thresholds = read_thresholds(args.thresholds.as_deref())?;
    let prices = args.prices.read()?;
    let in_lab = !args.cluster.is_given();
    let plan = args.plan(args.spec()?, in_lab);
    refuse_restless(plan.settle, plan.timeout, "--timeout")?;
    if let Some(dir) = &args.results_dir {
        results::prepare(dir)?;
    }
    args.keep_in
        .prepare(&[label::KUBERNETES, label::KUBEVIRT])
        .await?;
    let starting = stop.run_until_cancelled(async {
        let place = args.place().await?;
        let watch = args.metrics.watch(&place.proxies).await?;
        anyhow::Ok((place, watch))
    });
    let Some((place, watch)) = starting.await.transpose()? else {
        return Ok(Exit::Interrupted);
    };
    let spool = spool::spool(plan.journal, args.results_dir.as_deref());
    let progress = Terminal::new();
    let meanwhile = Meanwhile {
        watch,
        with_bill: prices.is_some(),
        is_asked: args.prices.is_asked(),
        spool: spool.as_ref(),
    };
    let outcome = watched(&place, meanwhile, &plan, &progress, stop).await;
    progress.finish();
    let how = if plan.journal {
        Compared::ByRequest
    } else {
        Compared::ByCount
    };
    let asked = Asked {
        thresholds: thresholds.as_ref(),
        budgets: &args.budget,
        prices: prices.as_ref(),
        ..Asked::default()
    };
    let checked = place.lab.as_ref().map(|lab| (lab, how));
    let exit = match outcome {
        Ok(record) => args.finish(record, checked, &asked).await,
        Err(failed) => {
            let exit = exits::tell_failure(&failed.cause);
            args.keep_failed(failed, checked, &asked).await;
            Ok(exit)
        }
    };
    if let Some(lab) = place.lab {
        lab.stop().await;
    }
    spool::remove_unless_needed(spool.as_ref(), exit.is_ok());
    exit
}

/// What is done beside a run.
struct Meanwhile<'m> {
    watch: Option<ComponentWatch>,
    with_bill: bool,
    /// Whether the bill was asked for, rather than made by default.
    is_asked: bool,
    spool: Option<&'m Spool>,
}

/// Runs the plan, and reads meanwhile what components and the API server say of themselves.
async fn watched(
    place: &Place,
    meanwhile: Meanwhile<'_>,
    plan: &Plan,
    progress: &Terminal,
    stop: CancellationToken,
) -> Result<RunRecord, RunFailed> {
    let watch = meanwhile.watch;
    let server = place.api_server_watch();
    let server = server.filter(|_| meanwhile.with_bill);
    let components = watch.iter().map(|watch| watch as &dyn WindowHook);
    let servers = server.iter().map(|server| server as &dyn WindowHook);
    let hooks = Hooks(components.chain(servers).collect());
    let driver = Driver {
        client: place.client.clone(),
        tally: place.tally.clone(),
        proxies: place.proxies.clone(),
        roster: place.fleet.as_ref().map(|fleet| fleet as &dyn Roster),
        spool: meanwhile.spool,
        window_hook: Some(&hooks),
        cluster: place.cluster.clone(),
        progress,
        stop,
    };
    let mut outcome = match &watch {
        Some(watch) => watch.sample_during(driver.run(plan)).await,
        None => driver.run(plan).await,
    };
    let record = match &mut outcome {
        Ok(record) => Some(record),
        Err(failed) => failed.record.as_deref_mut(),
    };
    if let Some(record) = record {
        record.crosscheck = watch.and_then(found);
        record.api_server = server.and_then(|server| used(server, meanwhile.is_asked));
    }
    outcome
}

/// What the components' own metrics showed, with the exit code that it would give alone.
fn found(watch: ComponentWatch) -> Option<Crosscheck> {
    let mut check = watch.found()?;
    check.exit_code = exits::of_crosscheck(&check).code();
    Some(check)
}

/// What the API server did and took; says why if that is not known. Who did not ask for it needs no
/// right to it, and a run that ended early has said so.
fn used(watch: ApiServerWatch<'_>, is_asked: bool) -> Option<ApiServerUsage> {
    let why = match watch.found() {
        Ok(used) => return Some(used),
        Err(why) => why,
    };
    let is_expected = matches!(why, NotKnown::Forbidden(_) | NotKnown::NotClosed);
    if is_asked || !is_expected {
        tell!("kubetoll: what the API server took is not known: {why}");
    }
    None
}

impl RunArgs {
    async fn finish(
        &self,
        mut record: RunRecord,
        lab: Option<(&Lab, Compared)>,
        asked: &Asked<'_>,
    ) -> Result<Exit> {
        if let Some((lab, how)) = lab {
            record.checks.push(lab.check(&record, how)?);
        }
        let result = report::evaluate(&record, asked);
        // Neither a full disk nor a closed pipe takes the others with it.
        let printed = results::print_shown(&result, self.output, self.shown());
        let written = self.write_files(&record, &result);
        let kept = self.keep_in.keep(record).await;
        printed?;
        written?;
        Ok(report::run_exit(&result).or(kept))
    }

    /// What a failed run came to is a result as well: it is printed, written and kept, marked. The
    /// exit code stays that of the failure, whatever becomes of this.
    async fn keep_failed(
        &self,
        failed: RunFailed,
        lab: Option<(&Lab, Compared)>,
        asked: &Asked<'_>,
    ) {
        let Some(record) = failed.record else {
            return;
        };
        let mut record = *record;
        let books = record.failure.as_ref().map(|failure| failure.books);
        if let Some((lab, how)) = lab.filter(|_| books == Some(BooksKept::Closed)) {
            match lab.check(&record, how) {
                Ok(check) => record.checks.push(check),
                Err(error) => tell!("kubetoll: the API server's log can't be read: {error:#}"),
            }
        }
        let result = report::evaluate(&record, asked);
        let printed = results::print(&result, self.output);
        let written = self.write_files(&record, &result);
        self.keep_in.keep(record).await;
        for error in [printed, written].into_iter().filter_map(Result::err) {
            tell!("kubetoll: {error:#}");
        }
    }

    fn write_files(&self, record: &RunRecord, result: &RunResult) -> Result<()> {
        if let Some(dir) = &self.results_dir {
            results::write(dir, record, result)?;
            tell!("results are in {}", dir.display());
        }
        Ok(())
    }
}
