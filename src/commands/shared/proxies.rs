//! Proxies that are named by their admin addresses.

use std::path::Path;

use anyhow::Result;

use driver::proxies::ProxyClient;
use terminal::exit::Misuse;

/// Clients of admin ports, with the token in `token_file` if there is one.
pub(crate) fn proxy_clients(
    urls: &[String],
    token_file: Option<&Path>,
) -> Result<Vec<ProxyClient>> {
    let token = token_file.map(identity::read_token).transpose()?;
    let clients = urls.iter().map(|url| {
        let client = ProxyClient::new(url, token.as_deref());
        client.map_err(|error| Misuse(error.to_string()).into())
    });
    clients.collect()
}
