//! `kubetoll` and its commands.

mod classify;

use clap::{CommandFactory, Parser, Subcommand};
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
    Classify(classify::ClassifyArgs),
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Runs the command.
pub fn run(args: DriverArgs) -> Exit {
    crate::identity::install_provider();
    match args.command {
        Command::Classify(args) => classify::run(&args),
        Command::Completions { shell } => {
            let mut command = DriverArgs::command();
            clap_complete::generate(shell, &mut command, "kubetoll", &mut std::io::stdout());
            Exit::Ok
        }
    }
}
