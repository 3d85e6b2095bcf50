//! `kubetoll kubeconfig`: a user's kubeconfig, led through a proxy.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::{Value, json};

use super::Exit;
use crate::identity::kubeconfig::write_private;

/// Rewrite a kubeconfig so that its context goes through a proxy, with the same user.
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
    /// Kubeconfig to rewrite; otherwise KUBECONFIG or ~/.kube/config.
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
    let path = args.path()?;
    let name = path.display();
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
    let config: Value =
        serde_saphyr::from_str(&text).with_context(|| format!("{name} is no kubeconfig"))?;
    let ca = fs::read(&args.ca).with_context(|| format!("cannot read {}", args.ca.display()))?;
    let context = args.context.as_deref();
    let rewritten =
        rewrite(&config, context, &args.through, &ca).with_context(|| format!("{name}"))?;
    if !presents_token(&rewritten) {
        bail!(
            "the user of {name} has no token: a client certificate ends at the proxy, which would \
             leave the user anonymous. `kubetoll exec -- COMMAND` works with it"
        );
    }
    let text = serde_json::to_string_pretty(&rewritten)? + "\n";
    match &args.out {
        Some(out) => write_private(out, text.as_bytes())
            .with_context(|| format!("cannot write {}", out.display()))?,
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    Ok(Exit::Ok)
}

impl KubeconfigArgs {
    fn path(&self) -> Result<PathBuf> {
        if let Some(path) = &self.kubeconfig {
            return Ok(path.clone());
        }
        if let Some(paths) = env::var_os("KUBECONFIG")
            && let Some(first) = env::split_paths(&paths).next()
        {
            return Ok(first);
        }
        let home = env::home_dir().context("there is no home folder: use --kubeconfig")?;
        Ok(home.join(Path::new(".kube/config")))
    }
}

/// One context alone, its cluster being the proxy. JSON, which is YAML.
fn rewrite(config: &Value, context: Option<&str>, through: &str, ca: &[u8]) -> Result<Value> {
    let current = context.or_else(|| config["current-context"].as_str());
    let current = current.context("there is no current context: use --context")?;
    let context = named(&config["contexts"], current).context("there is no such context")?;
    let user = context["context"]["user"].as_str().unwrap_or_default();
    let user = named(&config["users"], user).context("the context's user is missing")?;
    let mut context = context.clone();
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
        "current-context": current,
    }))
}

fn named<'v>(list: &'v Value, name: &str) -> Option<&'v Value> {
    list.as_array()?.iter().find(|item| item["name"] == name)
}

fn presents_token(config: &Value) -> bool {
    let user = &config["users"][0]["user"];
    ["token", "tokenFile", "exec"]
        .iter()
        .any(|key| !user[*key].is_null())
}
