//! A proxy in the process, on ports of its own, with a CA of its own.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use driver::proxies::ProxyClient;
use identity::{
    client_certificate::ClientCertificates,
    mint::Authority,
    server::ServingCertificate,
    upstream::{CaSource, Upstream},
};
use proxy::{
    Dialer, Listener, Options, Proxy,
    admin::{self, Admin},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running proxy.
pub struct TestProxy {
    proxy: Arc<Proxy>,
    pub url: String,
    pub admin: ProxyClient,
    pub authority: Authority,
    stop: CancellationToken,
    served: JoinHandle<()>,
    /// The admin port has a thread of its own, which does not end with the test's runtime.
    _admin_served: DropGuard,
}

impl TestProxy {
    /// A proxy in front of `upstream`, whose CA is `ca_pem`.
    pub async fn start(upstream: &str, ca_pem: &str) -> Self {
        Self::start_with(upstream, ca_pem, Options::default()).await
    }

    pub async fn start_with(upstream: &str, ca_pem: &str, options: Options) -> Self {
        identity::install_provider();
        let upstream = Upstream {
            url: upstream.to_owned(),
            ca: CaSource::Pem(ca_pem.into()),
            server_name: None,
        };
        let dialer = Dialer::new(&upstream.url, None, upstream.client_config(None).unwrap());
        let options = Options {
            drain: Duration::from_secs(2),
            ..options
        };
        let proxy = Proxy::new(dialer.unwrap(), options);
        let authority = Authority::new("test proxy").unwrap();
        let leaf = authority
            .serving("proxy", &["127.0.0.1".to_owned()])
            .unwrap();
        let certificate =
            ServingCertificate::from_der(vec![leaf.certificate()], leaf.key()).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin_tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", tcp.local_addr().unwrap());
        let admin_url = format!("http://{}", admin_tcp.local_addr().unwrap());
        let stop = CancellationToken::new();
        let admin = Admin::new(
            Arc::clone(&proxy),
            admin::Options {
                instance: "test".to_owned(),
                ..admin::Options::default()
            },
        );
        let stop_admin = stop.child_token();
        admin::serve(admin_tcp, admin, stop_admin.clone()).unwrap();
        let listener = Listener {
            tcp,
            tls: certificate
                .server_config(&ClientCertificates::Asked)
                .unwrap(),
        };
        let served = tokio::spawn(proxy::serve(listener, Arc::clone(&proxy), stop.clone()));
        Self {
            proxy,
            url,
            admin: ProxyClient::new(&admin_url, None).unwrap(),
            authority,
            stop,
            served,
            _admin_served: stop_admin.drop_guard(),
        }
    }

    /// What it counts of its connections.
    pub fn counters(&self) -> &proxy::ConnectionCounters {
        &self.proxy.connections
    }

    /// Connections that ended with something that is no request.
    pub fn unparsable(&self) -> u64 {
        self.proxy.connections.unparsable.load(Ordering::Relaxed)
    }

    /// Closes the open run behind its driver's back, as a restart does.
    pub fn forget_runs(&self) {
        if let Some(id) = self.proxy.books.run_id() {
            self.proxy.books.close_run(&id).unwrap();
        }
    }

    /// Stops it; a panic in it fails the test.
    pub async fn stop(self) {
        self.stop.cancel();
        self.served.await.unwrap();
    }
}
