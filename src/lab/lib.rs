//! A control plane to run against without a cluster: an API server in the process or a real one,
//! and KubeVirt's components, simulated.

pub mod apiserver;
pub mod embedded;
pub mod kubevirt;
pub mod real;
pub mod simulation;

use kube::Client;

use identity::mint::Authority;

/// A client of `server` that presents `token` and calls itself `program`.
pub fn client(
    server: &str,
    authority: &Authority,
    token: &str,
    program: &str,
) -> kube::Result<Client> {
    let config = real::client_config(server, authority, token)
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
