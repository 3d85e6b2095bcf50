//! `kubetoll crosscheck`: what the wire saw beside what components count themselves.

use std::{ffi::OsString, path::PathBuf, pin::pin, process::ExitStatus, time::Duration};

use anyhow::Result;
use clap::{ArgGroup, Args};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Exit, Misuse, Output,
    component_metrics::{MetricsArgs, Site, Window, verdict},
    measure::{code_of, exit_of, run_command},
    run::proxy_clients,
};
use terminal::{duration, lines};

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

pub(super) async fn run(args: CrosscheckArgs, stop: CancellationToken) -> Result<Exit> {
    if args.window.is_none() && args.command.is_empty() {
        let over = "over what? give a command behind --, or a time with --for";
        return Err(Misuse(over.to_owned()).into());
    }
    let proxies = proxy_clients(&args.proxy, args.proxy_token_file.as_deref())?;
    let site = args.metrics.site(proxies)?;
    let opened = stop.run_until_cancelled(site.open()).await;
    let Some(mut window) = opened.transpose()? else {
        return Ok(Exit::Interrupted);
    };
    let Some(status) = args.wait(&site, &mut window, &stop).await? else {
        return Ok(Exit::Interrupted);
    };
    let allowed = args.allow_missed.iter().cloned().collect();
    let mut check = site.close(window, &allowed).await?;
    check.child_exit_code = status.map(code_of);
    let text = match args.output {
        Output::Text => report::crosscheck::text(&check),
        Output::Json => serde_json::to_string_pretty(&check)? + "\n",
    };
    let printed = lines::print(&text);
    Ok(exit_of(status, verdict(&check)).or(printed))
}

impl CrosscheckArgs {
    /// Waits for the end of the command or of the time, and samples; `None` after Ctrl-C.
    async fn wait(
        &self,
        site: &Site,
        open: &mut Window,
        stop: &CancellationToken,
    ) -> Result<Option<Option<ExitStatus>>> {
        let mut window = pin!(async {
            Ok(match self.window {
                Some(window) => stop.run_until_cancelled(sleep(window)).await.map(|()| None),
                None => run_command(&self.command, &[], stop).await?.map(Some),
            })
        });
        loop {
            tokio::select! {
                ended = &mut window => return ended,
                () = sleep(self.metrics.sample) => site.sample(open).await,
            }
        }
    }
}
