//! `kubetoll kubeconfig`: a user's kubeconfig, led through a proxy.

use std::{fs, io::Write, path::PathBuf};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use kube::config::{AuthInfo, Kubeconfig, NamedAuthInfo, NamedContext};
use serde_json::{Value, json};

use super::shared::cluster;
use ::cluster::kubeconfig::write_private;
use terminal::exit::Exit;

/// Rewrite a kubeconfig so that its context goes through a proxy, with the same user and namespace.
///
/// Works for users with a token or an exec plugin that gives one: the proxy forwards it. A client
/// certificate ends at the proxy; for such users run `kubetoll exec -- COMMAND` instead.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: kubetoll kubeconfig --through https://127.0.0.1:16443 --ca ca.crt --out through.yaml"
)]
pub(super) struct KubeconfigArgs {
    /// URL of the proxy.
    #[arg(long, value_name = "URL")]
    through: String,
    /// PEM file of the CA that signed the proxy's certificate.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Kubeconfig to rewrite; otherwise KUBECONFIG, whose files are merged, or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context to rewrite; otherwise the current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// File to write; otherwise standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &KubeconfigArgs) -> Result<Exit> {
    let config = cluster::read(args.kubeconfig.as_deref())?;
    let ca = fs::read(&args.ca).with_context(|| format!("cannot read {}", args.ca.display()))?;
    let (context, user) = args.chosen(&config)?;
    refuse_other_identity(user)?;
    let rewritten = rewrite(context, user, &args.through, &ca)?;
    let text = serde_json::to_string_pretty(&rewritten)? + "\n";
    match &args.out {
        Some(out) => write_private(out, text.as_bytes())
            .with_context(|| format!("cannot write {}", out.display()))?,
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    Ok(Exit::Ok)
}

impl KubeconfigArgs {
    fn chosen<'k>(&self, config: &'k Kubeconfig) -> Result<(&'k NamedContext, &'k NamedAuthInfo)> {
        let current = self.context.as_ref().or(config.current_context.as_ref());
        let current = current.context("there is no current context: use --context")?;
        let mut contexts = config.contexts.iter();
        let context = contexts.find(|context| context.name == *current);
        let context = context.context("there is no such context")?;
        let user = context.context.as_ref().and_then(|it| it.user.as_ref());
        let mut users = config.auth_infos.iter();
        let user = users.find(|one| Some(&one.name) == user);
        Ok((context, user.context("the context's user is missing")?))
    }
}

/// Through the proxy the user must be who it is without.
fn refuse_other_identity(user: &NamedAuthInfo) -> Result<()> {
    let (name, nobody) = (&user.name, AuthInfo::default());
    let user = user.auth_info.as_ref().unwrap_or(&nobody);
    if user.token.is_none() && user.token_file.is_none() && user.exec.is_none() {
        bail!(
            "the user {name} has no token: a client certificate ends at the proxy, which would \
             leave the user anonymous. `kubetoll exec -- COMMAND` works with it"
        );
    }
    if user.client_certificate.is_some() || user.client_certificate_data.is_some() {
        bail!(
            "the user {name} has a client-certificate beside its token: it comes first at the API \
             server, and ends at the proxy. `kubetoll exec -- COMMAND` works with both"
        );
    }
    if user
        .exec
        .as_ref()
        .is_some_and(|plugin| plugin.provide_cluster_info)
    {
        bail!(
            "the user {name} has exec.provideClusterInfo: its plugin would be told of the proxy \
             instead of the cluster. `kubetoll exec -- COMMAND` works with it"
        );
    }
    Ok(())
}

/// One context alone with all that it sets, its cluster being the proxy. JSON, which is YAML.
fn rewrite(
    context: &NamedContext,
    user: &NamedAuthInfo,
    through: &str,
    ca: &[u8],
) -> Result<Value> {
    let mut context = serde_json::to_value(context)?;
    context["context"]["cluster"] = json!("kubetoll-proxy");
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kubetoll-proxy", "cluster": {
            "server": through,
            "certificate-authority-data": STANDARD.encode(ca),
        }}],
        "users": [user],
        "contexts": [context],
        "current-context": context["name"],
    }))
}
