//! `kubetoll kubeconfig`: a user's kubeconfig, led through a proxy.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use cluster::{
    access::Access,
    kubeconfig::{led_cluster, listed, write_private},
    reading::Chosen,
    user::User,
};
use identity::upstream::CaSource;
use terminal::exit::{Exit, Misuse};

/// Rewrite a kubeconfig so that its context goes through a proxy, with the same user and namespace.
///
/// Works for users with a token or an exec plugin that gives one: the proxy forwards it. A client
/// certificate ends at the proxy; for such users run `kubetoll exec -- COMMAND` instead. Paths of
/// files and plugins become absolute, so that the result can be anywhere.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: kubetoll kubeconfig --through https://127.0.0.1:16443 --ca ca.crt --out through.yaml"
)]
pub(super) struct KubeconfigArgs {
    /// URL of the proxy: https://HOST:PORT.
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
    /// File to write, YAML, or JSON where its name ends in .json; otherwise standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &KubeconfigArgs) -> Result<Exit> {
    if !args.through.starts_with("https://") {
        let words = "--through must begin with https://: the proxy speaks TLS alone, and clients \
                     send no token without it";
        bail!(Misuse(words.to_owned()));
    }
    let access = Access::configured(args.kubeconfig.as_deref(), args.context.as_deref())?;
    let Some((_, chosen)) = &access.source else {
        bail!("there is no kubeconfig to rewrite: name one with --kubeconfig");
    };
    CaSource::File(args.ca.clone()).check()?;
    let ca = fs::read(&args.ca).with_context(|| format!("cannot read {}", args.ca.display()))?;
    refuse_other_identity(chosen, &access.user)?;
    let text = formatted(&rewrite(chosen, &args.through, &ca), args.out.as_deref())?;
    match &args.out {
        Some(out) => write_private(out, text.as_bytes())
            .with_context(|| format!("cannot write {}", out.display()))?,
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    Ok(Exit::Ok)
}

fn formatted(config: &Value, out: Option<&Path>) -> Result<String> {
    if out.is_some_and(|out| out.extension().is_some_and(|end| end == "json")) {
        return Ok(serde_json::to_string_pretty(config)? + "\n");
    }
    Ok(serde_saphyr::to_string(config)?)
}

/// Through the proxy the user must be who it is without.
fn refuse_other_identity(chosen: &Chosen, user: &User) -> Result<()> {
    let name = chosen.user.as_ref().map_or("(none)", |user| &user.name);
    if user.has_certificate() && user.has_login() {
        bail!(
            "the user {name} has a client-certificate beside its token: it comes first at the API \
             server, and ends at the proxy. `kubetoll exec -- COMMAND` works with both"
        );
    }
    if !user.has_login() {
        bail!(
            "the user {name} has no token: a client certificate ends at the proxy, which would \
             leave the user anonymous. `kubetoll exec -- COMMAND` works with it"
        );
    }
    if user.plugin().is_some_and(|plugin| plugin.wants_cluster) {
        bail!(
            "the user {name} has exec.provideClusterInfo: its plugin would be told of the proxy \
             instead of the cluster. `kubetoll exec -- COMMAND` works with it"
        );
    }
    Ok(())
}

/// One context alone with all that it sets, its cluster being the proxy.
fn rewrite(chosen: &Chosen, through: &str, ca: &[u8]) -> Value {
    let mut cluster = led_cluster(&chosen.cluster, through, ca);
    cluster.name = "kubetoll-proxy".to_owned();
    let mut context = chosen.context.clone();
    context
        .fields
        .insert("cluster".to_owned(), json!(cluster.name));
    let users: Vec<Value> = chosen
        .user
        .iter()
        .map(|user| listed("user", user))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [listed("cluster", &cluster)],
        "users": users,
        "contexts": [listed("context", &context)],
        "current-context": context.name,
    })
}
