//! Clients of a lab's API server.

use kube::{Client, Config};

use identity::mint::Authority;

/// A client of `server` that presents `token` and calls itself `program`.
pub fn client(
    server: &str,
    authority: &Authority,
    token: &str,
    program: &str,
) -> kube::Result<Client> {
    let config = client_config(server, authority, token)
        .map_err(|error| kube::Error::Service(Box::new(error)))?;
    let mut config = config;
    config
        .headers
        .push((http::header::USER_AGENT, user_agent(program)));
    Client::try_from(config)
}

fn user_agent(program: &str) -> http::HeaderValue {
    http::HeaderValue::from_str(&format!("{program}/v{}", env!("CARGO_PKG_VERSION")))
        .unwrap_or_else(|_| http::HeaderValue::from_static("kubetoll"))
}

/// The configuration of a client of this lab.
pub(crate) fn client_config(
    server: &str,
    authority: &Authority,
    token: &str,
) -> Result<Config, http::uri::InvalidUri> {
    let mut config = Config::new(server.parse()?);
    config.root_cert = Some(vec![authority.certificate().to_vec()]);
    config.auth_info.token = Some(token.to_owned().into());
    // What a client does again by itself would be a call that nobody asked for.
    config.default_retry = false;
    Ok(config)
}
