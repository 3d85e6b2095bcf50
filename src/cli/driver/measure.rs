//! `kubetoll measure`: the books of running proxies around anything.

use std::{
    env, ffi::OsString, fs, os::unix::process::ExitStatusExt, path::PathBuf, process::ExitStatus,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::{
    Exit, Output,
    history::KeepArgs,
    results,
    run::{print_result, proxy_clients, read_thresholds, verdict},
};
use crate::{
    driver::{
        measure::{self, Opened, Plan},
        proxies::ProxyClient,
    },
    identity::kubeconfig::write_private,
    record::RunRecord,
    report,
};

/// Longest wait for calls to cease.
const SETTLE_LONGEST: Duration = Duration::from_secs(300);
/// How long a proxy keeps a run between `start` and `stop`.
const LEASE: Duration = Duration::from_secs(24 * 3600);

/// Open the books of running proxies, run a command, and say what it cost.
///
/// Runs anything: KubeVirt's own `make perftest`, kube-burner, an e2e suite. Or mark a beginning
/// and an end by hand with `measure start NAME` and `measure stop NAME`. Gives the command's exit
/// code if it isn't 0.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Example: kubetoll measure --proxy http://127.0.0.1:16444 -- make perftest"
)]
pub(super) struct MeasureArgs {
    #[command(subcommand)]
    mark: Option<Mark>,
    #[command(flatten)]
    options: MeasureOptions,
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
        options: MeasureOptions,
    },
    /// Settle, close the books of that name, and print what was counted.
    Stop {
        /// The name.
        name: String,
        #[command(flatten)]
        options: MeasureOptions,
    },
}

#[derive(Debug, Args)]
struct MeasureOptions {
    /// Admin address of a proxy that takes part, such as http://127.0.0.1:16444; repeatable.
    #[arg(long, value_name = "URL")]
    proxy: Vec<String>,
    /// File with the proxies' admin token.
    #[arg(long, value_name = "FILE")]
    proxy_token_file: Option<PathBuf>,
    /// Tell the calls for this namespace from others.
    #[arg(long, value_name = "NAME", default_value = "")]
    namespace: String,
    /// How long nothing may go on before the books are closed.
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    settle: SignedDuration,
    /// Record the audit ID of each request, for `kubetoll verify`.
    #[arg(long)]
    audit_ids: bool,
    /// JSON file with perfscale-audit's thresholdExpectations.
    #[arg(long, value_name = "FILE")]
    thresholds: Option<PathBuf>,
    /// Folder for record.json.
    #[arg(long, value_name = "DIR")]
    results_dir: Option<PathBuf>,
    /// Form of the result on standard output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    keep_in: KeepArgs,
}

pub(super) async fn run(args: MeasureArgs, stop: CancellationToken) -> Result<Exit> {
    match args.mark {
        Some(Mark::Start { name, options }) => start(&name, &options).await,
        Some(Mark::Stop { name, options }) => finish(&name, &options).await,
        None => around(&args.command, &args.options, stop).await,
    }
}

async fn around(
    command: &[OsString],
    options: &MeasureOptions,
    stop: CancellationToken,
) -> Result<Exit> {
    if let Some(dir) = &options.results_dir {
        results::prepare(dir)?;
    }
    options.keep_in.prepare().await?;
    let proxies = options.proxies()?;
    let plan = options.plan(&format!("measure-{:08x}", rand::random::<u32>()));
    let opened = measure::open(&plan, &proxies).await?;
    let ended = run_command(command, &[], &stop).await;
    let status = match ended {
        Ok(Some(status)) => status,
        interrupted_or_failed => {
            measure::abandon(&plan.id, &proxies).await;
            interrupted_or_failed?;
            return Ok(Exit::Interrupted);
        }
    };
    let record = measure::close(&plan, opened, &proxies).await?;
    let exit = options.report(&record, Some(status))?;
    Ok(exit.or(options.keep_in.keep(record).await))
}

async fn start(name: &str, options: &MeasureOptions) -> Result<Exit> {
    let path = state_file(name)?;
    if path.exists() {
        bail!("{name} is open already: close it with `kubetoll measure stop {name}`");
    }
    let opened = measure::open(&options.plan(name), &options.proxies()?).await?;
    let text = serde_json::to_vec(&opened)?;
    write_private(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("opened {name}; close it with `kubetoll measure stop {name}`");
    Ok(Exit::Ok)
}

async fn finish(name: &str, options: &MeasureOptions) -> Result<Exit> {
    let path = state_file(name)?;
    let text = fs::read(&path).with_context(|| format!("{name} is not open"))?;
    options.keep_in.prepare().await?;
    let opened: Opened = serde_json::from_slice(&text)?;
    let urls: Vec<String> = opened.proxies.iter().map(|(url, _)| url.clone()).collect();
    let proxies = proxy_clients(&urls, options.proxy_token_file.as_deref())?;
    let closed = measure::close(&options.plan(name), opened, &proxies).await;
    // Whether it worked or the run is lost: it is not open any more.
    fs::remove_file(&path)?;
    match closed {
        Ok(record) => {
            let exit = options.report(&record, None)?;
            Ok(exit.or(options.keep_in.keep_named(record).await))
        }
        Err(error) => {
            eprintln!("kubetoll: {error}");
            Ok(Exit::NotValid)
        }
    }
}

impl MeasureOptions {
    fn proxies(&self) -> Result<Vec<ProxyClient>> {
        if self.proxy.is_empty() {
            bail!("name the admin address of each proxy that takes part with --proxy");
        }
        proxy_clients(&self.proxy, self.proxy_token_file.as_deref())
    }

    fn plan(&self, id: &str) -> Plan {
        Plan {
            id: id.to_owned(),
            scenario: "measure".to_owned(),
            namespace: self.namespace.clone(),
            journal: self.audit_ids,
            lease: LEASE,
            silence: self.settle.unsigned_abs(),
            settle_longest: SETTLE_LONGEST,
        }
    }

    fn report(&self, record: &RunRecord, status: Option<ExitStatus>) -> Result<Exit> {
        let thresholds = read_thresholds(self.thresholds.as_deref())?;
        let mut result = report::evaluate(record, &thresholds);
        let ours = verdict(&result);
        let exit = exit_of(status, ours);
        result.exit_code = ours.code();
        result.child_exit_code = status.map(code_of);
        print_result(&result, self.output)?;
        if let Some(dir) = &self.results_dir {
            results::write(dir, record, &result)?;
        }
        Ok(exit)
    }
}

/// Runs a command with more environment; `None` if it was interrupted.
pub(super) async fn run_command(
    command: &[OsString],
    environment: &[(&str, OsString)],
    stop: &CancellationToken,
) -> Result<Option<ExitStatus>> {
    let (program, arguments) = command.split_first().context("no command was given")?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    tokio::select! {
        status = child.wait() => Ok(Some(status?)),
        () = stop.cancelled() => {
            // Ctrl-C went to the command too: it may end in its own way.
            child.wait().await?;
            Ok(None)
        }
    }
}

/// The command's own code if it isn't 0.
pub(super) fn exit_of(status: Option<ExitStatus>, ours: Exit) -> Exit {
    match status.map(code_of) {
        None | Some(0) => ours,
        Some(code) => Exit::Child(code),
    }
}

/// As a shell says it: 128 and the number of the signal that ended a command.
pub(super) fn code_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Where what is open between `start` and `stop` is kept.
fn state_file(name: &str) -> Result<PathBuf> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(valid) {
        bail!("a name has letters, digits, '-' and '_', at most 64");
    }
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || env::home_dir().map(|home| home.join(".local/state"));
    let dir = state.or_else(home).context("there is no home folder")?;
    let dir = dir.join("kubetoll");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir.join(format!("{name}.json")))
}
