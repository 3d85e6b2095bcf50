//! A process of the lab.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

use super::{
    error::{RealError, io_error},
    gc_trace,
};

/// How much of a log an error shows.
const LOG_TAIL_LINES: usize = 5;

/// A child process that is killed when it is dropped.
pub(super) struct Process {
    program: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `binary` in `dir`, where its log goes too. It has a process group of its own, so that
    /// Ctrl-C ends it only when its owner is done.
    pub(super) fn start(
        program: &'static str,
        binary: &Path,
        arguments: &[String],
        variable: Option<(&str, &str)>,
        dir: &Path,
    ) -> Result<Self, RealError> {
        let log = dir.join(format!("{program}.log"));
        let output = File::options().create(true).append(true).open(&log);
        let output = output.map_err(|source| io_error("cannot write a log", source))?;
        let errors = output
            .try_clone()
            .map_err(|source| io_error("cannot write a log", source))?;
        let child = Command::new(binary)
            .args(arguments)
            .envs(variable)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| io_error(format!("cannot start {}", binary.display()), source))?;
        Ok(Self {
            program,
            child,
            log,
        })
    }

    /// Where its output goes.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Its number; none if it has ended.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) async fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill().await;
    }

    pub(super) fn not_ready(&self) -> RealError {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines = log
            .lines()
            .filter(|line| !line.starts_with(gc_trace::LINE_START));
        let lines: Vec<&str> = lines.rev().take(LOG_TAIL_LINES).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        RealError::NotReady {
            program: self.program,
            detail: lines.join("\n"),
        }
    }
}

/// A port of the loopback address that was free a moment ago.
pub(super) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
