//! `kubetoll crosscheck`: what the wire saw beside what components count themselves.

use std::{ffi::OsString, path::PathBuf, pin::pin, process::ExitStatus, time::Duration};

use anyhow::Result;
use clap::{ArgGroup, Args};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::shared::{
    child::{code_of, exit_of, run_command},
    exits,
    metrics_args::MetricsArgs,
    output::Output,
    proxies::proxy_clients,
};
use driver::component_metrics::ComponentMetrics;
use terminal::{
    duration,
    exit::{Exit, Misuse},
    lines,
};
use verify::crosscheck::Window;

/// Compare what the wire saw with what components count of themselves.
///
/// Reads each component's own counter of its API calls (kubevirt_rest_client_requests_total) and
/// the proxies' books at the beginning and at the end of a command or of a time, and compares the
/// two row for row. Says which calls a component's metric misses, such as those of a client that
/// was made without the counter, and which it invents, such as requests that were never sent.
/// Opens no run, so that the command can be one. The same endpoints give CPU, memory and work
/// queues of the components, under the names of KubeVirt's report.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("endpoints").required(true).arg("component_metrics"))]
#[command(after_help = "Examples:
  kubetoll crosscheck --proxy http://127.0.0.1:16444 \\
    --component-metrics virt-api=https://10.0.0.7:8443 --component-metrics-insecure --for 5m
  kubetoll crosscheck --proxy http://127.0.0.1:16444 \\
    --component-metrics virt-controller=http://127.0.0.1:8080/metrics -- make perftest

Exit code 3: a component's metric misses or invents calls. 4: a component or a proxy was restarted, \
or a component made no call, so that nothing can be said.")]
pub(super) struct CrosscheckArgs {
    #[command(flatten)]
    metrics: MetricsArgs,
    /// Admin address of a proxy in front of these components, such as http://127.0.0.1:16444;
    /// repeatable.
    #[arg(long, value_name = "URL", required = true)]
    proxy: Vec<String>,
    /// File with the proxies' admin token.
    #[arg(long, value_name = "FILE")]
    proxy_token_file: Option<PathBuf>,
    /// Resource whose calls a component's metric is known to miss, such as subjectaccessreviews;
    /// repeatable. What it misses of them is shown, and no reason for exit code 3.
    #[arg(long, value_name = "RESOURCE")]
    allow_missed: Vec<String>,
    /// Compare over this time, without a command.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    window: Option<Duration>,
    /// Form of the result on standard output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// The command and its arguments.
    #[arg(last = true, conflicts_with = "window")]
    command: Vec<OsString>,
}

/// How the window came to its end.
enum Ended {
    /// The time is over.
    Time,
    /// The command ended by itself.
    Command(ExitStatus),
    /// Ctrl-C ended it.
    Interrupted,
}

pub(super) async fn run(args: CrosscheckArgs, stop: CancellationToken) -> Result<Exit> {
    if args.window.is_none() && args.command.is_empty() {
        let over = "over what? give a command behind --, or a time with --for";
        return Err(Misuse(over.to_owned()).into());
    }
    let proxies = proxy_clients(&args.proxy, args.proxy_token_file.as_deref())?;
    let metrics = args.metrics.metrics(proxies)?;
    let opened = stop.run_until_cancelled(metrics.open()).await;
    let Some(mut window) = opened.transpose()? else {
        return Ok(Exit::Interrupted);
    };
    let status = match args.wait(&metrics, &mut window, &stop).await? {
        Ended::Interrupted => return Ok(Exit::Interrupted),
        Ended::Time => None,
        Ended::Command(status) => Some(status),
    };
    let allowed = args.allow_missed.iter().cloned().collect();
    let mut check = metrics.close(window, &allowed).await?;
    let ours = exits::of_crosscheck(&check);
    check.exit_code = ours.code();
    check.child_exit_code = status.map(code_of);
    let text = args.output.of(&check, report::crosscheck::text)?;
    let printed = lines::print(&text);
    Ok(exit_of(status, ours).or(printed))
}

impl CrosscheckArgs {
    /// Waits for the end of the command or of the time, and samples.
    async fn wait(
        &self,
        metrics: &ComponentMetrics,
        window: &mut Window,
        stop: &CancellationToken,
    ) -> Result<Ended> {
        let mut end = pin!(self.end(stop));
        loop {
            tokio::select! {
                ended = &mut end => return ended,
                () = sleep(self.metrics.sample) => metrics.sample(window).await,
            }
        }
    }

    async fn end(&self, stop: &CancellationToken) -> Result<Ended> {
        let ended = match self.window {
            Some(time) => {
                let slept = stop.run_until_cancelled(sleep(time)).await;
                slept.map(|()| Ended::Time)
            }
            None => {
                let ended = run_command(&self.command, &[], stop).await?;
                let ended = ended.filter(|ended| !ended.was_interrupted);
                ended.map(|ended| Ended::Command(ended.status))
            }
        };
        Ok(ended.unwrap_or(Ended::Interrupted))
    }
}
