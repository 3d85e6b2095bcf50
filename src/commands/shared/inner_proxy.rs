//! A proxy inside of this process, on the loopback address, with a CA of its own.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use rustls::client::ResolvesClientCert;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use driver::proxies::ProxyClient;
use identity::{
    client_certificate::ClientCertificates, mint::Authority, server::ServingCertificate,
    upstream::Upstream, way::Way,
};
use proxy::{
    Dialer, Listener, Options, Proxy,
    admin::{self, Admin},
};

/// How long connections may take to end when the proxy is stopped.
const DRAIN: Duration = Duration::from_secs(2);

/// A proxy that runs, until [`InnerProxy::stop`].
pub(crate) struct InnerProxy {
    pub(crate) url: String,
    pub(crate) admin: ProxyClient,
    pub(crate) authority: Authority,
    pub(crate) proxy: Arc<Proxy>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl InnerProxy {
    /// Starts a proxy of `upstream`, to which it goes `way` and presents `certificate` if there is
    /// one.
    pub(crate) async fn start(
        upstream: &Upstream,
        way: &Way,
        certificate: Option<Arc<dyn ResolvesClientCert>>,
        options: Options,
    ) -> Result<Self> {
        let tls = upstream.client_config(certificate)?;
        let name = upstream.server_name.as_deref();
        let dialer = Dialer::through(way.clone(), &upstream.url, name, tls)?;
        let drain = DRAIN;
        let proxy = Proxy::new(dialer, Options { drain, ..options });
        let authority = Authority::new("kubetoll")?;
        let leaf = authority.serving("kubetoll-proxy", &["127.0.0.1".to_owned()])?;
        let certificate = ServingCertificate::from_der(vec![leaf.certificate()], leaf.key())?;
        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        let admin_tcp = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", tcp.local_addr()?);
        // Others on this machine could open runs or read names of objects.
        let token = format!("{:032x}", rand::random::<u128>());
        let admin_url = format!("http://{}", admin_tcp.local_addr()?);
        let instance = format!("{:032x}", rand::random::<u128>());
        let admin_options = admin::Options {
            instance,
            token: Some(token.clone()),
            compat_metrics: false,
        };
        let admin = Admin::new(Arc::clone(&proxy), admin_options);
        let stop = CancellationToken::new();
        admin::serve(admin_tcp, admin, stop.clone())?;
        let tls = certificate.server_config(&ClientCertificates::NotAsked)?;
        let listener = Listener { tcp, tls };
        let served = proxy::serve(listener, Arc::clone(&proxy), stop.clone());
        let served = tokio::spawn(served);
        Ok(Self {
            proxy,
            url,
            admin: ProxyClient::new(&admin_url, Some(&token))?,
            authority,
            stop,
            served,
        })
    }

    /// Stops it, and waits for its connections to end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.served.await {
            tracing::error!(%error, "the proxy ended badly");
        }
    }
}
