//! A command that is run, the signals that it gets, and its exit code.

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::ExitStatus,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::{SignalsInfo, exfiltrator::WithOrigin},
    low_level::siginfo::{Cause, Origin},
};
use tokio::{process::Child, sync::mpsc};
use tokio_util::sync::CancellationToken;

use record::CommandRecord;
use terminal::exit::Exit;

/// A command that has ended.
pub(crate) struct Ended {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Whether it was asked to end.
    pub(crate) was_interrupted: bool,
    took: Duration,
}

impl Ended {
    /// What a record says of it. A command line can hold secrets: its words are in no record.
    pub(crate) fn record(&self, command: &[OsString]) -> CommandRecord {
        let program = command.first().map_or(OsStr::new(""), OsString::as_os_str);
        let name = Path::new(program).file_name().unwrap_or(program);
        CommandRecord {
            program: name.to_string_lossy().into_owned(),
            arguments: command.len().saturating_sub(1) as u64,
            seconds: self.took.as_secs_f64(),
            discovery: None,
        }
    }
}

/// Runs a command with more environment until it ends; `None` where `stop` came first.
pub(crate) async fn run_command(
    command: &[OsString],
    environment: &[(&str, OsString)],
    stop: &CancellationToken,
) -> Result<Option<Ended>> {
    let (program, arguments) = command.split_first().context("no command was given")?;
    let mut signals = signals().context("cannot listen for signals")?;
    if stop.is_cancelled() {
        return Ok(None);
    }
    let began = Instant::now();
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let _running = Running::new(&child);
    let mut was_interrupted = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            Some(origin) = signals.recv() => {
                was_interrupted = true;
                hand_on(&origin, &child);
            }
        }
    };
    Ok(Some(Ended {
        status,
        was_interrupted,
        took: began.elapsed(),
    }))
}

/// The process id of the command that runs; 0 if none does. Who leaves it behind says so.
static RUNNING: AtomicU32 = AtomicU32::new(0);

/// The process id of the command that runs, if one does.
pub(crate) fn running() -> Option<u32> {
    Some(RUNNING.load(Ordering::Relaxed)).filter(|id| *id != 0)
}

/// A command that runs, as long as this lives.
struct Running;

impl Running {
    fn new(child: &Child) -> Self {
        RUNNING.store(child.id().unwrap_or_default(), Ordering::Relaxed);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.store(0, Ordering::Relaxed);
    }
}

/// The signals that ask this process to end, from now on.
fn signals() -> std::io::Result<mpsc::Receiver<Origin>> {
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM])?;
    let (sender, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        for origin in signals.forever() {
            if sender.blocking_send(origin).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

/// Ctrl-C goes to all processes of the terminal, so that the command has it already; and some take
/// a second one for the wish to end without cleaning up. What somebody sent to this process alone
/// is handed on.
fn hand_on(origin: &Origin, child: &Child) {
    if origin.cause == Cause::Kernel {
        return;
    }
    let signal = if origin.signal == SIGINT {
        Signal::INT
    } else {
        Signal::TERM
    };
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    // Without an id the command has ended.
    if let Some(id) = id.and_then(Pid::from_raw)
        && let Err(error) = kill_process(id, signal)
    {
        tracing::warn!(%error, "cannot hand a signal on to the command");
    }
}

/// The command's own code if it isn't 0, unless both were interrupted.
pub(crate) fn exit_of(status: Option<ExitStatus>, ours: Exit) -> Exit {
    match (status.map(code_of), ours) {
        (_, Exit::Interrupted) | (None | Some(0), _) => ours,
        (Some(code), _) => Exit::Child(code),
    }
}

/// As a shell says it: 128 and the number of the signal that ended a command.
pub(crate) fn code_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
