//! What a command finds in its environment: a kubeconfig, a cache of its own, and that the proxy's
//! address is behind no other proxy.

use std::{
    env,
    ffi::{OsStr, OsString},
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::discovery::Discovery;
use crate::commands::shared::inner_proxy::InnerProxy;
use cluster::{
    access::Access,
    kubeconfig::{Credential, kubeconfig, led_through, write_private},
};
use serde_json::{Value, json};
use terminal::tell;

/// How many contexts are named that the command can't choose.
const NAMED_MAX: usize = 5;
/// Where the proxy listens.
const LOOPBACK: &str = "127.0.0.1";

/// Files for one command; gone with it.
pub(super) struct Environment {
    folder: TempDir,
}

impl Environment {
    /// Writes the command's kubeconfig, and fills its cache.
    pub(super) fn make(
        access: &Access,
        proxy: &InnerProxy,
        token: &str,
        discovery: Discovery,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kubetoll-exec-").tempdir();
        let made = Self {
            folder: folder.context("cannot make a folder for the command's files")?,
        };
        let config = command_kubeconfig(access, proxy, token);
        write_private(
            &made.folder.path().join("kubeconfig"),
            config.to_string().as_bytes(),
        )?;
        let cache = made.folder.path().join("cache");
        let filled = discovery.fill(&cache, &access.upstream.url, &proxy.url);
        filled.context("cannot copy your cache of the API server's resources")?;
        Ok(made)
    }

    /// What the command's environment has besides this process's own.
    pub(super) fn variables(&self) -> [(&'static str, OsString); 4] {
        let file = |name| self.folder.path().join(name).into_os_string();
        let (big, small) = (env::var_os("NO_PROXY"), env::var_os("no_proxy"));
        [
            ("KUBECONFIG", file("kubeconfig")),
            ("KUBECACHEDIR", file("cache")),
            ("NO_PROXY", with_loopback(big.as_deref(), small.as_deref())),
            ("no_proxy", with_loopback(small.as_deref(), big.as_deref())),
        ]
    }
}

/// A list of exceptions with the proxy's address. Programs differ in which of the two variables they
/// read first: where one is missing it says what the other does.
fn with_loopback(own: Option<&OsStr>, other: Option<&OsStr>) -> OsString {
    let given = own.filter(|list| !list.is_empty());
    let given = given.or(other.filter(|list| !list.is_empty()));
    let mut list = given.map_or_else(OsString::new, OsStr::to_owned);
    if !list.is_empty() {
        list.push(",");
    }
    list.push(LOOPBACK);
    list
}

/// What the command finds in KUBECONFIG.
fn command_kubeconfig(access: &Access, proxy: &InnerProxy, token: &str) -> Value {
    let ca = proxy.authority.certificate_pem();
    let Some((own, chosen)) = &access.source else {
        let token = Credential::Token(token.to_owned());
        let mut config = kubeconfig(&proxy.url, ca.as_bytes(), &token);
        if let Some(namespace) = &access.namespace {
            config["contexts"][0]["context"]["namespace"] = json!(namespace);
        }
        return config;
    };
    let led = led_through(own, chosen, &proxy.url, ca.as_bytes(), token);
    if !led.left_out.is_empty() {
        let mut names: Vec<&str> = led.left_out.iter().map(String::as_str).collect();
        let more = names.len().saturating_sub(NAMED_MAX);
        names.truncate(NAMED_MAX);
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        tell!(
            "kubetoll: not in the command's kubeconfig, being of another cluster or user than \
             context {}: {}{more}",
            chosen.context.name,
            names.join(", ")
        );
    }
    led.config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_excepted_is_lost() {
        let list = |own: &str, other: &str| {
            let list = with_loopback(Some(own.as_ref()), Some(other.as_ref()));
            list.into_string().unwrap()
        };
        assert_eq!(list("a,b", "c"), "a,b,127.0.0.1");
        assert_eq!(list("", "c"), "c,127.0.0.1");
        assert_eq!(list("", ""), "127.0.0.1");
    }
}
