//! `kubetoll` and its commands.

mod audit;
mod budget;
mod certs;
mod changes;
mod classify;
mod compare;
mod crosscheck;
mod exec;
mod export;
mod graph;
mod import;
mod install;
mod journal;
mod kubeconfig;
mod measure;
mod price;
mod rbac;
mod report;
mod run;
mod runs;
mod shared;
mod why;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use tokio_util::sync::CancellationToken;

use cluster::causes::with_causes;
use shared::child;
use terminal::{
    colour,
    exit::{self, Exit, Misuse},
    lines, log,
    signal::asked_to_end,
    tell,
};

/// Says exactly what every API call of a Kubernetes component costs, per run.
#[derive(Debug, Parser)]
#[command(name = "kubetoll", version, after_help = exit::HELP)]
pub struct DriverArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::RunArgs>),
    Measure(Box<measure::MeasureArgs>),
    Exec(exec::ExecArgs),
    Attach(install::AttachArgs),
    Detach(install::DetachArgs),
    Status(install::StatusArgs),
    Crosscheck(Box<crosscheck::CrosscheckArgs>),
    Rbac(rbac::RbacArgs),
    Audit(audit::AuditArgs),
    Verify(audit::VerifyArgs),
    Why(why::WhyArgs),
    Price(price::PriceArgs),
    Journal(journal::JournalArgs),
    Report(report::ReportArgs),
    Graph(graph::GraphArgs),
    Docs(graph::DocsArgs),
    Runs(runs::RunsArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Compare(Box<compare::CompareArgs>),
    Changes(Box<changes::ChangesArgs>),
    Budget(budget::BudgetArgs),
    Classify(classify::ClassifyArgs),
    Certs(certs::CertsArgs),
    Kubeconfig(kubeconfig::KubeconfigArgs),
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// How kubectl's plugin is called, and how its user calls it.
const PLUGIN: [&str; 2] = ["kubectl-kubetoll", "kubectl kubetoll"];

/// What was typed; ends the process if that can't be meant. A usage names the command as it was
/// called.
pub fn parse() -> DriverArgs {
    let called = std::env::args_os().next().map(PathBuf::from);
    let name = called.as_deref().and_then(Path::file_stem);
    let mut command = DriverArgs::command();
    if name.is_some_and(|name| name == PLUGIN[0]) {
        command = command.bin_name(PLUGIN[1]);
    }
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let args = parsed.and_then(|matches| DriverArgs::from_arg_matches(&matches));
    args.unwrap_or_else(|error| error.format(&mut command).exit())
}

/// Runs the command; says on standard error what went wrong.
pub fn run(args: DriverArgs) -> Exit {
    identity::install_provider();
    log_to_stderr();
    let result = match args.command {
        Command::Run(args) => until_done(|stop| run::run(*args, stop)),
        Command::Measure(args) => until_done(|stop| measure::run(*args, stop)),
        Command::Exec(args) => until_done(|stop| exec::run(args, stop)),
        Command::Attach(args) => until_done(|stop| install::attach(args, stop)),
        Command::Detach(args) => until_done(|stop| install::detach(args, stop)),
        Command::Status(args) => until_done(|stop| install::status(args, stop)),
        Command::Crosscheck(args) => until_done(|stop| crosscheck::run(*args, stop)),
        Command::Rbac(args) => rbac::run(&args),
        Command::Audit(args) => audit::run_audit(args),
        Command::Verify(args) => audit::run_verify(&args),
        Command::Why(args) => why::run(&args),
        Command::Price(args) => until_done(|stop| price::run(args, stop)),
        Command::Journal(args) => until_done(|_| journal::run(args)),
        Command::Report(args) => report::run(&args),
        Command::Graph(args) => graph::run_graph(&args),
        Command::Docs(args) => graph::run_docs(&args),
        Command::Runs(args) => runs::run(args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Changes(args) => changes::run(&args),
        Command::Budget(args) => budget::run(&args),
        Command::Classify(args) => Ok(classify::run(&args)),
        Command::Certs(args) => certs::run(&args),
        Command::Kubeconfig(args) => kubeconfig::run(&args),
        Command::Completions { shell } => {
            let mut command = DriverArgs::command();
            let mut script = Vec::new(); // on a closed standard output it would panic
            clap_complete::generate(shell, &mut command, "kubetoll", &mut script);
            let written = io::stdout().write_all(&script);
            Ok(lines::exit_after_writing(written))
        }
    };
    result.unwrap_or_else(|error| {
        tell!("kubetoll: {}", with_causes(error.as_ref()));
        if error.is::<Misuse>() {
            Exit::Usage
        } else {
            Exit::Failed
        }
    })
}

/// Runs `work`; the first Ctrl-C or SIGTERM cancels its token, the second ends the process.
fn until_done<F: Future<Output = Result<Exit>>>(
    work: impl FnOnce(CancellationToken) -> F,
) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    runtime.spawn(async move {
        asked_to_end().await;
        tell!("kubetoll: stopping; once more to leave everything as it is");
        if let Some(id) = child::running() {
            tell!("kubetoll: waiting until the command has ended (process {id})");
        }
        interrupted.cancel();
        asked_to_end().await;
        if let Some(id) = child::running() {
            tell!("kubetoll: the command has not ended: it goes on as process {id}");
        }
        std::process::exit(Exit::Interrupted.code().into());
    });
    runtime.block_on(work(stop))
}

/// Problems only, unless `RUST_LOG` asks for more.
fn log_to_stderr() {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colour::is_wanted(&io::stderr()))
        .log_internal_errors(false); // on a standard error that nobody reads it would panic
    log::begin(lines, "error,kube_client=off");
}
