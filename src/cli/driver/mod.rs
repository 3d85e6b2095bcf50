//! `kubetoll` and its commands.

mod audit;
mod classify;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::exit::{self, Exit};

/// Says exactly what every API call of a Kubernetes component costs, per run.
#[derive(Debug, Parser)]
#[command(name = "kubetoll", version, after_help = exit::HELP)]
pub struct DriverArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Audit(audit::AuditArgs),
    Verify(audit::VerifyArgs),
    Classify(classify::ClassifyArgs),
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Runs the command.
pub fn run(args: DriverArgs) -> Exit {
    crate::identity::install_provider();
    let result = match args.command {
        Command::Audit(args) => audit::run_audit(args),
        Command::Verify(args) => audit::run_verify(&args),
        Command::Classify(args) => Ok(classify::run(&args)),
        Command::Completions { shell } => {
            let mut command = DriverArgs::command();
            clap_complete::generate(shell, &mut command, "kubetoll", &mut std::io::stdout());
            Ok(Exit::Ok)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("kubetoll: {error:#}");
        Exit::Failed
    })
}
