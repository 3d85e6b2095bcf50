//! `kubetoll exec`: what API calls does a command make?

mod discovery;
mod environment;
mod own;

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use http::HeaderValue;
use tokio_util::sync::CancellationToken;

use super::shared::{
    child::{Ended, code_of, exit_of, run_command},
    cluster::WhereArgs,
    exits::tell_failure,
    flow_control::name_flow_schemas,
    history::KeepArgs,
    inner_proxy::InnerProxy,
    output::Output,
    prices::PricesArgs,
    results, spool,
};
use cluster::access::Access;
use discovery::Discovery;
use driver::{
    LastKnown, RunError,
    measure::{self, NotClosed, Opened, Plan},
};
use environment::Environment;
use own::Own;
use proxy::{Gate, LastDial, Options};
use record::{Check, PriceList, RunRecord, RunResult};
use report::{Asked, Budget};
use terminal::{exit::Exit, lines, tell};

/// A command is over when it has ended; what is still on the wire then ends at once.
const SILENCE: Duration = Duration::from_millis(200);
const SETTLE_LONGEST: Duration = Duration::from_secs(10);
const SCENARIO: &str = "exec";

/// Run a command or a test suite and say which API calls it makes.
///
/// The command gets a kubeconfig (in KUBECONFIG) that leads through a proxy in this process; the
/// proxy presents the credential of your own kubeconfig, and renews it as kubectl would. Context,
/// cluster and user keep their names, and so does what says in which namespace and as whom: the
/// command acts as it would without. The listener is on the loopback address and takes only this
/// command's random token. Gives the command's exit code if it isn't 0, 3 if a budget is exceeded,
/// and 4 if the command ended well without a call through the proxy. Ctrl-C ends the command too;
/// what was counted until then is printed, written and kept, marked as interrupted and not valid.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll exec -- kubectl get pods -A
  kubetoll exec --job e2e --label commit=$(git rev-parse HEAD) -- ./suite.test
  kubetoll exec --budget 'LIST-pods<=1' --budget 'UPDATE-virtualmachines@409<=0' -- ./suite.test")]
pub(super) struct ExecArgs {
    /// How often a row may occur: VERB-resource[/subresource][@code]<=N; or what the command's calls
    /// may cost in tolls: cost<=N, cost:ROW<=N; repeatable.
    #[arg(long, value_name = "BUDGET")]
    budget: Vec<Budget>,
    /// What the command knows of the API server's resources when it begins: nothing, or what your
    /// own cache of kubectl holds. Cold is the same on every machine.
    #[arg(long, value_enum, default_value_t)]
    discovery: Discovery,
    /// Keep no line of each request: less memory for a command that runs for days, but
    /// `kubetoll why` and `kubetoll journal` know nothing of it.
    #[arg(long)]
    no_journal: bool,
    /// Take it for right that no call came through the proxy.
    #[arg(long)]
    allow_no_calls: bool,
    #[command(flatten)]
    place: WhereArgs,
    #[command(flatten)]
    prices: PricesArgs,
    /// Form of the result. Text goes to standard error, so that the command's own output stays
    /// apart; JSON goes to standard output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// File for the result, in place of standard error or output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Folder for record.json.
    #[arg(long, value_name = "DIR")]
    results_dir: Option<PathBuf>,
    #[command(flatten)]
    keep_in: KeepArgs,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub(super) async fn run(args: ExecArgs, stop: CancellationToken) -> Result<Exit> {
    args.prepare().await?;
    let prices = args.prices.read()?;
    let access = args.place.access()?;
    if access.is_plain() {
        bail!(
            "the kubeconfig's cluster.server has no https://, so that kubectl speaks to it without \
             TLS and without a credential: exec can't stand before it"
        );
    }
    let own = Arc::new(Own::new(&access).await?);
    let token = format!(
        "{:032x}{:032x}",
        rand::random::<u128>(),
        rand::random::<u128>()
    );
    let proxy = start(&access, &own, &token).await?;
    own.follow(Arc::clone(&proxy.proxy));
    let by = prices.as_ref();
    let outcome = args.measure(&access, (&proxy, &token), by, &stop).await;
    proxy.stop().await;
    outcome
}

/// A proxy that takes `token` alone, and presents the user's own credential in its place.
async fn start(access: &Access, own: &Arc<Own>, token: &str) -> Result<InnerProxy> {
    let mut expected = HeaderValue::try_from(format!("Bearer {token}"))?;
    expected.set_sensitive(true);
    let gate = Gate {
        expected,
        credential: Arc::clone(own) as _,
    };
    let options = Options {
        gate: Some(Arc::new(gate)),
        ..Options::default()
    };
    InnerProxy::start(&access.upstream, &access.way, own.certificate(), options).await
}

impl ExecArgs {
    /// Before anything runs, so that a bad file or folder costs nothing.
    async fn prepare(&self) -> Result<()> {
        if let Some(dir) = &self.results_dir {
            results::prepare(dir)?;
        }
        if let Some(out) = &self.out {
            results::prepare_file(out)?;
        }
        self.keep_in.prepare(&[]).await
    }

    async fn measure(
        &self,
        access: &Access,
        (proxy, token): (&InnerProxy, &str),
        prices: Option<&PriceList>,
        stop: &CancellationToken,
    ) -> Result<Exit> {
        let environment = Environment::make(access, proxy, token, self.discovery)?;
        let proxies = [proxy.admin.clone()];
        let plan = plan(!self.no_journal);
        let opened = measure::open(&plan, &proxies).await?;
        let spool = spool::spool(plan.journal, self.results_dir.as_deref());
        let mut last = measure::last_known(&plan, &opened, &proxies, spool.as_ref());
        let variables = environment.variables();
        let command = run_command(&self.command, &variables, stop);
        let ended = last.look_during((&plan.id, ""), &proxies, command).await;
        let Some(ended) = ended.transpose() else {
            spool::remove(spool.as_ref());
            return Ok(Exit::Interrupted);
        };
        let ended = ended.inspect_err(|_| spool::remove(spool.as_ref()))?;
        tell_not_reached(proxy);
        let closed = self.close(&plan, (opened, last), proxy, &ended, stop).await;
        let told = match closed {
            Ok(mut record) => {
                name_flow_schemas(&mut record, access).await;
                self.tell(record, &ended, prices).await
            }
            Err(error) => Err(error),
        };
        spool::remove_unless_needed(spool.as_ref(), told.is_ok());
        told
    }

    /// Closes the books, and enters what only this command knows.
    async fn close(
        &self,
        plan: &Plan,
        (opened, last): (Opened, LastKnown),
        proxy: &InnerProxy,
        ended: &Ended,
        stop: &CancellationToken,
    ) -> Result<RunRecord> {
        let proxies = [proxy.admin.clone()];
        let closed = if ended.was_interrupted {
            Err(NotClosed::interrupted(opened))
        } else {
            measure::close_unless_stopped(plan, opened, &proxies, None, stop).await
        };
        let mut record = match closed {
            Ok(record) => record,
            Err(failed) if matches!(failed.cause, RunError::Interrupted) => {
                failed.salvaged(plan, &proxies, None, last).await
            }
            Err(failed) => return Err(failed.cause.into()),
        };
        let mut command = ended.record(&self.command);
        command.discovery = Some(self.discovery.record(&record));
        record.command = Some(command);
        if ended.status.success() && record.failure.is_none() && !self.allow_no_calls {
            record.checks.push(calls_came(&record));
        }
        Ok(record)
    }

    /// Prints, writes and keeps the result.
    async fn tell(
        &self,
        record: RunRecord,
        ended: &Ended,
        prices: Option<&PriceList>,
    ) -> Result<Exit> {
        let asked = Asked {
            thresholds: None,
            budgets: &self.budget,
            child_exit_code: Some(code_of(ended.status)),
            prices,
        };
        let result = report::evaluate(&record, &asked);
        let ours = report::run_exit(&result);
        // Neither a full disk nor a closed pipe takes the others with it.
        let printed = self.show(&result);
        let written = self.results_dir.as_deref();
        let written = written.map_or(Ok(()), |dir| results::write(dir, &record, &result));
        let was_interrupted = record.failure.is_some();
        let kept = self.keep_in.keep(record).await;
        printed?;
        written?;
        if was_interrupted {
            return Ok(tell_failure(&RunError::Interrupted));
        }
        Ok(exit_of(Some(ended.status), ours).or(kept))
    }

    /// Writes the result, or prints it: also where its file can't be written.
    fn show(&self, result: &RunResult) -> Result<()> {
        let Some(out) = &self.out else {
            return self.print(result);
        };
        let written = results::write_result(out, result, self.output);
        if written.is_err() {
            self.print(result)?;
        }
        written
    }

    fn print(&self, result: &RunResult) -> Result<()> {
        if self.output == Output::Json {
            return results::print(result, Output::Json);
        }
        lines::tell_report(&report::run_text::run(result));
        Ok(())
    }
}

/// Why the API server was not reached the last time: kubectl's own words for a 503 don't say it.
fn tell_not_reached(proxy: &InnerProxy) {
    for (_, last) in proxy.proxy.dialer.last_dials() {
        if let LastDial::Failed { why, .. } = last {
            tell!("kubetoll: {why}");
        }
    }
}

/// Whether anything came through the proxy. A command that ended well without a call talked to
/// nobody, or past the proxy.
fn calls_came(record: &RunRecord) -> Check {
    let calls: u64 = record.rows().map(|row| row.answered).sum();
    let detail = match calls {
        0 => "none: the command takes another kubeconfig than the one in KUBECONFIG, or makes no \
              call; --allow-no-calls if that is right"
            .to_owned(),
        _ => format!("{calls} requests"),
    };
    Check::new("calls came through the proxy", calls > 0, detail)
}

fn plan(journal: bool) -> Plan {
    Plan {
        id: format!("exec-{:08x}", rand::random::<u32>()),
        scenario: SCENARIO.to_owned(),
        namespace: String::new(),
        journal,
        pairs: None,
        lease: Duration::from_secs(7 * 24 * 3600),
        silence: SILENCE,
        settle_longest: SETTLE_LONGEST,
    }
}
