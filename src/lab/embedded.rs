//! The embedded API server with TLS and users: a lab that needs nothing but this process.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::apiserver::{ApiServer, Options, UserInfo};
use identity::{
    IdentityError, client_certificate::ClientCertificates, mint::Authority,
    server::ServingCertificate,
};

/// A running embedded API server.
pub struct EmbeddedLab {
    /// The API server, to inject faults into and to read the log of.
    pub server: Arc<ApiServer>,
    /// The CA of its certificate.
    pub authority: Authority,
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    stop: CancellationToken,
}

/// Why it can't run.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Its certificates could not be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No socket could be opened on the loopback address.
    #[error("cannot listen on the loopback address: {0}")]
    Listen(#[from] std::io::Error),
}

impl EmbeddedLab {
    /// Starts it on a free port of the loopback address.
    pub async fn start() -> Result<Self, EmbeddedError> {
        let authority = Authority::new("kubetoll-lab")?;
        let leaf = authority.serving("kube-apiserver", &["127.0.0.1".to_owned()])?;
        let certificate = ServingCertificate::from_der(vec![leaf.certificate()], leaf.key())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", listener.local_addr()?);
        let server = ApiServer::new(Options::default());
        let stop = CancellationToken::new();
        let tls = certificate.server_config(&ClientCertificates::NotAsked)?;
        tokio::spawn(Arc::clone(&server).serve(listener, tls, stop.clone()));
        Ok(Self {
            server,
            authority,
            url,
            stop,
        })
    }

    /// A new token for a user. It is shaped like those of service accounts, so that its subject
    /// can be read by whoever names clients; nothing about it is signed.
    pub fn token_for(&self, user: &str, groups: &[&str]) -> String {
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let token = format!(
            "{}.{}.{:032x}",
            part(json!({"alg": "none"})),
            part(json!({"sub": user})),
            rand::random::<u128>()
        );
        let user = UserInfo {
            name: user.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        };
        self.server.add_token(token.clone(), user);
        token
    }

    /// Stops the server; open requests get five seconds.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}
