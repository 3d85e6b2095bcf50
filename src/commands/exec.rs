//! `kubetoll exec`: what API calls does a command make?

use std::{ffi::OsString, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use arc_swap::ArcSwapOption;
use clap::Args;
use http::HeaderValue;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::shared::{
    child::{code_of, exit_of, run_command},
    cluster::{Target, WhereArgs},
    inner_proxy::InnerProxy,
    output::Output,
    results,
};
use cluster::{
    credential::UserCredential,
    kubeconfig::{Credential, act_as, kubeconfig, write_private},
};
use driver::measure::{self, Plan};
use identity::upstream::{CaSource, Upstream};
use proxy::{Gate, Options};
use report::{Asked, Budget};
use terminal::{exit::Exit, lines};

/// A command is over when it has ended; what is still on the wire then ends at once.
const SILENCE: Duration = Duration::from_millis(200);
const SETTLE_LONGEST: Duration = Duration::from_secs(10);
const RUN_ID: &str = "exec";

/// Run a command or a test suite and say which API calls it makes.
///
/// The command gets a kubeconfig (in KUBECONFIG) that leads through a proxy in this process; the
/// proxy presents the credential of your own kubeconfig: client certificate, token or exec plugin.
/// The namespace of your context, and whom your user impersonates, are in the command's kubeconfig.
/// The listener is on the loopback address and takes only this command's random token. Gives the
/// command's exit code if it isn't 0, and 3 if a budget is exceeded.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll exec -- kubectl get pods -A
  kubetoll exec --budget 'LIST-pods<=1' --budget 'UPDATE-virtualmachines@409<=0' -- ./suite.test")]
pub(super) struct ExecArgs {
    /// How often a row may occur: VERB-resource[/subresource][@code]<=N; repeatable.
    #[arg(long, value_name = "BUDGET")]
    budget: Vec<Budget>,
    #[command(flatten)]
    place: WhereArgs,
    /// Form of the result. Text goes to standard error, so that the command's own output stays
    /// apart; JSON goes to standard output.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub(super) async fn run(args: ExecArgs, stop: CancellationToken) -> Result<Exit> {
    let target = args.place.target().await?;
    let upstream = upstream(&target)?;
    let credential = UserCredential::of(&target.config.auth_info).await?;
    let token = format!(
        "{:032x}{:032x}",
        rand::random::<u128>(),
        rand::random::<u128>()
    );
    let mut expected = HeaderValue::try_from(format!("Bearer {token}"))?;
    expected.set_sensitive(true);
    let gate = Gate {
        expected,
        authorization: ArcSwapOption::from_pointee(credential.authorization),
    };
    let options = Options {
        gate: Some(Arc::new(gate)),
        ..Options::default()
    };
    let proxy = InnerProxy::start(&upstream, credential.certificate, options).await?;
    let config = command_kubeconfig(&proxy, token, &target);
    let outcome = args.measure(&proxy, &config, &stop).await;
    proxy.stop().await;
    outcome
}

/// The API server. What would lead elsewhere, and can't be followed, is refused.
fn upstream(target: &Target) -> Result<Upstream> {
    let Target {
        config, cluster, ..
    } = target;
    if config.accept_invalid_certs {
        bail!("the kubeconfig skips TLS verification, which the proxy never does; give the CA");
    }
    if cluster
        .proxy_url
        .as_ref()
        .is_some_and(|url| !url.is_empty())
    {
        bail!("the kubeconfig's cluster.proxy-url is not supported by exec");
    }
    let url = &config.cluster_url;
    if url.scheme_str() != Some("https") || !matches!(url.path(), "" | "/") || url.query().is_some()
    {
        bail!("the kubeconfig's cluster.server must be https://HOST:PORT for exec, without a path");
    }
    Ok(Upstream {
        url: url.to_string(),
        ca: CaSource::Der(
            config
                .root_cert
                .clone()
                .context("the kubeconfig has no CA")?,
        ),
        server_name: config.tls_server_name.clone(),
    })
}

/// What the command finds in KUBECONFIG.
fn command_kubeconfig(proxy: &InnerProxy, token: String, target: &Target) -> Value {
    let ca = proxy.authority.certificate_pem();
    let mut config = kubeconfig(&proxy.url, ca.as_bytes(), &Credential::Token(token));
    let user = &target.config.auth_info;
    act_as(&mut config, target.namespace.as_deref(), user);
    config
}

impl ExecArgs {
    async fn measure(
        &self,
        proxy: &InnerProxy,
        config: &Value,
        stop: &CancellationToken,
    ) -> Result<Exit> {
        let dir = tempfile::Builder::new()
            .prefix("kubetoll-exec-")
            .tempdir()?;
        let path = dir.path().join("kubeconfig");
        write_private(&path, config.to_string().as_bytes())?;
        let proxies = [proxy.admin.clone()];
        let opened = measure::open(&plan(), &proxies).await?;
        let environment = [("KUBECONFIG", path.into_os_string())];
        let Some(status) = run_command(&self.command, &environment, stop).await? else {
            return Ok(Exit::Interrupted);
        };
        let record = measure::close(&plan(), opened, &proxies, None).await?;
        let asked = Asked {
            thresholds: None,
            budgets: &self.budget,
            child_exit_code: Some(code_of(status)),
        };
        let result = report::evaluate(&record, &asked);
        let ours = report::run_exit(&result);
        match self.output {
            Output::Text => lines::tell_report(&report::run_text::run(&result)),
            Output::Json => results::print(&result, Output::Json)?,
        }
        Ok(exit_of(Some(status), ours))
    }
}

fn plan() -> Plan {
    Plan {
        id: RUN_ID.to_owned(),
        scenario: RUN_ID.to_owned(),
        namespace: String::new(),
        journal: false,
        lease: Duration::from_secs(7 * 24 * 3600),
        silence: SILENCE,
        settle_longest: SETTLE_LONGEST,
    }
}
