//! A command that is run, and its exit code.

use std::{ffi::OsString, os::unix::process::ExitStatusExt, process::ExitStatus};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::Child,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use terminal::exit::Exit;

/// Runs a command with more environment; `None` if it was interrupted.
pub(crate) async fn run_command(
    command: &[OsString],
    environment: &[(&str, OsString)],
    stop: &CancellationToken,
) -> Result<Option<ExitStatus>> {
    let (program, arguments) = command.split_first().context("no command was given")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    tokio::select! {
        status = child.wait() => return Ok(Some(status?)),
        () = stop.cancelled() => {}
    }
    // Ctrl-C went to the command too, which may end in its own way; SIGTERM came to this process
    // alone.
    tokio::select! {
        _ = child.wait() => {}
        _ = terminate.recv() => {
            pass_on_termination(&child);
            child.wait().await?;
        }
    }
    Ok(None)
}

fn pass_on_termination(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    // Without an id the command has ended.
    if let Some(id) = id.and_then(Pid::from_raw)
        && let Err(error) = kill_process(id, Signal::TERM)
    {
        tracing::warn!(%error, "cannot stop the command");
    }
}

/// The command's own code if it isn't 0.
pub(crate) fn exit_of(status: Option<ExitStatus>, ours: Exit) -> Exit {
    match status.map(code_of) {
        None | Some(0) => ours,
        Some(code) => Exit::Child(code),
    }
}

/// As a shell says it: 128 and the number of the signal that ended a command.
pub(crate) fn code_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
