//! `kubetoll measure`: the books of running proxies around anything.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use super::shared::{
    attached::{DiscoverArgs, Fleet},
    child::{code_of, exit_of, run_command},
    cluster::{WhereArgs, client_of},
    exits::tell_failure,
    flow_control::name_flow_schemas,
    history::KeepArgs,
    inputs::read_thresholds,
    output::Output,
    prices::PricesArgs,
    proxies::proxy_clients,
    results,
    settle::refuse_restless,
    spool::{self, state_folder},
};
use cluster::{client::Manner, kubeconfig::write_private};
use driver::{
    LastKnown, Roster,
    measure::{self, NotClosed, Opened, Plan},
    proxies::ProxyClient,
};
use record::{PriceList, RunRecord, ThresholdFile};
use report::Asked;
use terminal::{
    duration,
    exit::{Exit, Misuse},
    tell,
};

/// Longest wait for calls to cease.
const SETTLE_LONGEST: Duration = Duration::from_secs(300);
const NO_PROXY: &str = "name the admin address of each proxy that takes part with --proxy, or, to \
    measure around a command with the attached ones, a cluster with --kubeconfig, --context or \
    --in-cluster";
/// How long a proxy keeps a run between `start` and `stop`.
const LEASE: Duration = Duration::from_secs(24 * 3600);

/// Open the books of running proxies, run a command, and say what it cost.
///
/// Runs anything: KubeVirt's own `make perftest`, kube-burner, an e2e suite. Measures with the
/// proxies that --proxy names, or with those that are attached to the KubeVirt of a cluster. Or mark a beginning
/// and an end by hand with `measure start NAME` and `measure stop NAME`. Gives the command's exit
/// code if it isn't 0. Ctrl-C ends the command too; what was counted until then is printed, written
/// and kept, marked as interrupted and not valid.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  kubetoll measure --context kind-kubevirt -- make perftest
  kubetoll measure --proxy http://127.0.0.1:16444 -- make perftest"
)]
pub(super) struct MeasureArgs {
    #[command(subcommand)]
    mark: Option<Mark>,
    #[command(flatten)]
    open: OpenOptions,
    #[command(flatten)]
    cluster: WhereArgs,
    #[command(flatten)]
    discover: DiscoverArgs,
    #[command(flatten)]
    close: CloseOptions,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
enum Mark {
    /// Open the books under a name.
    Start {
        /// The name.
        name: String,
        #[command(flatten)]
        options: OpenOptions,
    },
    /// Settle, close the books of that name, and print what was counted.
    Stop {
        /// The name.
        name: String,
        /// File with the proxies' admin token.
        #[arg(long, value_name = "FILE")]
        proxy_token_file: Option<PathBuf>,
        #[command(flatten)]
        options: CloseOptions,
    },
}

/// What must be known when the books are opened.
#[derive(Debug, Args)]
struct OpenOptions {
    /// Admin address of a proxy that takes part, such as http://127.0.0.1:16444; repeatable.
    #[arg(long, value_name = "URL")]
    proxy: Vec<String>,
    /// File with the proxies' admin token.
    #[arg(long, value_name = "FILE")]
    proxy_token_file: Option<PathBuf>,
    /// Tell the calls for this namespace from others.
    #[arg(long, value_name = "NAME", default_value = "")]
    namespace: String,
    /// Keep a line of each request, for `kubetoll why`, `kubetoll journal` and `kubetoll verify`.
    #[arg(long)]
    journal: bool,
}

/// What is needed when they are closed.
#[derive(Debug, Args)]
struct CloseOptions {
    /// How long nothing may go on before the books are closed.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration::parse)]
    settle: Duration,
    /// JSON file with perfscale-audit's thresholdExpectations.
    #[arg(long, value_name = "FILE")]
    thresholds: Option<PathBuf>,
    /// Folder for record.json.
    #[arg(long, value_name = "DIR")]
    results_dir: Option<PathBuf>,
    #[command(flatten)]
    prices: PricesArgs,
    /// Form of the result on standard output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    keep_in: KeepArgs,
}

/// What was read of files before anything was measured.
struct Given {
    thresholds: Option<ThresholdFile>,
    prices: Option<PriceList>,
}

pub(super) async fn run(args: MeasureArgs, stop: CancellationToken) -> Result<Exit> {
    match args.mark {
        Some(Mark::Start { name, options }) => start(&name, &options).await,
        Some(Mark::Stop {
            name,
            proxy_token_file,
            options,
        }) => finish(&name, proxy_token_file.as_deref(), &options, &stop).await,
        None => around(&args, stop).await,
    }
}

async fn around(args: &MeasureArgs, stop: CancellationToken) -> Result<Exit> {
    let given = args.close.prepare().await?;
    let fleet = args.fleet().await?;
    let proxies = match &fleet {
        Some(fleet) => fleet.proxies.clone(),
        None => args.open.proxies()?,
    };
    let id = format!("measure-{:08x}", rand::random::<u32>());
    let plan = args.close.plan(&args.open.plan(&id));
    let opened = measure::open(&plan, &proxies).await?;
    let spool = spool::spool(plan.journal, args.close.results_dir.as_deref());
    let mut last = measure::last_known(&plan, &opened, &proxies, spool.as_ref());
    let run = (&*plan.id, &*plan.namespace);
    let command = run_command(&args.command, &[], &stop);
    let ended = match last.look_during(run, &proxies, command).await {
        Ok(Some(ended)) => ended,
        not_begun => {
            measure::abandon(&plan.id, &proxies).await;
            spool::remove(spool.as_ref());
            not_begun?;
            return Ok(Exit::Interrupted);
        }
    };
    let status = ended.status;
    let roster = fleet.as_ref().map(|fleet| fleet as &dyn Roster);
    let closed = if ended.was_interrupted {
        Err(NotClosed::interrupted(opened))
    } else {
        let closing = measure::close_unless_stopped(&plan, opened, &proxies, roster, &stop);
        last.look_during(run, &proxies, closing).await
    };
    let exit = match closed {
        Ok(mut record) => {
            record.command = Some(ended.record(&args.command));
            args.name_flow_schemas(&mut record).await;
            let exit = args.close.report(&record, &given, Some(status));
            let kept = args.close.keep_in.keep(record).await;
            exit.map(|exit| exit.or(kept))
        }
        Err(failed) => {
            let exit = tell_failure(&failed.cause);
            let mut record = failed.salvaged(&plan, &proxies, roster, last).await;
            record.command = Some(ended.record(&args.command));
            args.name_flow_schemas(&mut record).await;
            args.close.report_failed(&record, &given, Some(status));
            args.close.keep_in.keep(record).await;
            Ok(exit_of(Some(status), exit))
        }
    };
    spool::remove_unless_needed(spool.as_ref(), exit.is_ok());
    exit
}

async fn start(name: &str, options: &OpenOptions) -> Result<Exit> {
    let path = state_file(name)?;
    if path.exists() {
        bail!("{name} is open already: close it with `kubetoll measure stop {name}`");
    }
    let opened = measure::open(&options.plan(name), &options.proxies()?).await?;
    let text = serde_json::to_vec(&opened)?;
    write_private(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    tell!("opened {name}; close it with `kubetoll measure stop {name}`");
    Ok(Exit::Ok)
}

async fn finish(
    name: &str,
    token_file: Option<&Path>,
    options: &CloseOptions,
    stop: &CancellationToken,
) -> Result<Exit> {
    let path = state_file(name)?;
    let text = fs::read(&path).with_context(|| format!("{name} is not open"))?;
    let opened: Opened = serde_json::from_slice(&text)
        .with_context(|| format!("{} is not what `measure start` wrote", path.display()))?;
    let given = options.prepare().await?;
    let urls: Vec<String> = opened.proxies.iter().map(|(url, _)| url.clone()).collect();
    let proxies = proxy_clients(&urls, token_file)?;
    let plan = options.plan(&Plan {
        namespace: opened.namespace.clone(),
        ..empty_plan(name)
    });
    match measure::close_unless_stopped(&plan, opened, &proxies, None, stop).await {
        Ok(record) => {
            fs::remove_file(&path)?;
            let exit = options.report(&record, &given, None);
            let kept = options.keep_in.keep_named(record).await;
            Ok(exit?.or(kept))
        }
        // A proxy that is away keeps the run: if it is the only one, it can be closed later. So it
        // can if nobody waited until nothing went on.
        Err(failed) if !failed.cause.is_loss() => {
            let exit = tell_failure(&failed.cause);
            tell!("{name} is still open");
            Ok(exit)
        }
        Err(failed) => {
            let exit = tell_failure(&failed.cause);
            // Nobody looked at the books since they were opened.
            let unknown = LastKnown::default();
            let record = failed.salvaged(&plan, &proxies, None, unknown).await;
            fs::remove_file(&path)?;
            options.report_failed(&record, &given, None);
            options.keep_in.keep_named(record).await;
            Ok(exit)
        }
    }
}

fn empty_plan(id: &str) -> Plan {
    Plan {
        id: id.to_owned(),
        scenario: "measure".to_owned(),
        namespace: String::new(),
        journal: false,
        pairs: None,
        lease: LEASE,
        silence: Duration::ZERO,
        settle_longest: SETTLE_LONGEST,
    }
}

impl MeasureArgs {
    /// Of 429s, where the cluster is known.
    async fn name_flow_schemas(&self, record: &mut RunRecord) {
        if self.cluster.is_given()
            && let Ok(access) = self.cluster.access()
        {
            name_flow_schemas(record, &access).await;
        }
    }

    /// The attached proxies of a cluster, where no other is named.
    async fn fleet(&self) -> Result<Option<Fleet>> {
        match (self.open.proxy.is_empty(), self.cluster.is_given()) {
            (true, true) => {}
            (false, true) => {
                let both = "--proxy names proxies, a cluster those that are attached: give one";
                bail!(Misuse(both.to_owned()));
            }
            (_, false) => return Ok(None),
        }
        let client = client_of(&self.cluster.access()?, Manner::default()).await?;
        let token = self.open.proxy_token_file.as_ref();
        let in_cluster = self.cluster.in_cluster;
        let fleet = Fleet::find(client, &self.discover, token, in_cluster).await?;
        Ok(Some(fleet))
    }
}

impl OpenOptions {
    fn proxies(&self) -> Result<Vec<ProxyClient>> {
        if self.proxy.is_empty() {
            bail!(Misuse(NO_PROXY.to_owned()));
        }
        proxy_clients(&self.proxy, self.proxy_token_file.as_deref())
    }

    fn plan(&self, id: &str) -> Plan {
        Plan {
            namespace: self.namespace.clone(),
            journal: self.journal,
            ..empty_plan(id)
        }
    }
}

impl CloseOptions {
    fn plan(&self, opened: &Plan) -> Plan {
        Plan {
            silence: self.settle,
            ..opened.clone()
        }
    }

    /// Before anything is measured, so that a bad file or folder costs nothing.
    async fn prepare(&self) -> Result<Given> {
        if let Some(dir) = &self.results_dir {
            results::prepare(dir)?;
        }
        refuse_restless(
            self.settle,
            SETTLE_LONGEST,
            "the time that measure waits for it",
        )?;
        self.keep_in.prepare(&[]).await?;
        Ok(Given {
            thresholds: read_thresholds(self.thresholds.as_deref())?,
            prices: self.prices.read()?,
        })
    }

    fn report(
        &self,
        record: &RunRecord,
        given: &Given,
        status: Option<ExitStatus>,
    ) -> Result<Exit> {
        let asked = Asked {
            thresholds: given.thresholds.as_ref(),
            budgets: &[],
            child_exit_code: status.map(code_of),
            prices: given.prices.as_ref(),
        };
        let result = report::evaluate(record, &asked);
        let ours = report::run_exit(&result);
        // Neither a full disk nor a closed pipe takes the other with it.
        let printed = results::print(&result, self.output);
        if let Some(dir) = &self.results_dir {
            results::write(dir, record, &result)?;
        }
        printed?;
        Ok(exit_of(status, ours))
    }

    /// What a failed run came to is a result as well. The exit code stays that of the failure,
    /// whatever becomes of this.
    fn report_failed(&self, record: &RunRecord, given: &Given, status: Option<ExitStatus>) {
        if let Err(error) = self.report(record, given, status) {
            tell!("kubetoll: {error:#}");
        }
    }
}

/// Where what is open between `start` and `stop` is kept.
fn state_file(name: &str) -> Result<PathBuf> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(valid) {
        let rule = "a name has letters, digits, '-' and '_', at most 64";
        bail!(Misuse(rule.to_owned()));
    }
    let dir = state_folder().context("there is no home folder")?;
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir.join(format!("{name}.json")))
}
