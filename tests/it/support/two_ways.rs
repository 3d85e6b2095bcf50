//! A real kube-apiserver, and two ways to it: directly, and through a proxy.

use std::path::PathBuf;

use cluster::kubeconfig::Credential;
use lab::real::RealCluster;

use super::{proxy::TestProxy, real};

/// The API server, the proxy, and a kubeconfig for each way.
pub struct TwoWays {
    pub cluster: RealCluster,
    pub proxy: TestProxy,
    pub direct: PathBuf,
    pub through: PathBuf,
}

impl TwoWays {
    /// `None` where the real tier can't run and need not.
    pub async fn start() -> Option<Self> {
        identity::install_provider();
        let cluster = RealCluster::start(real::assets()?, &[]).await.unwrap();
        let proxy = TestProxy::start(&cluster.url(), &cluster.ca_pem()).await;
        let token = Credential::Token(cluster.admin_token().to_owned());
        let write = |name: &str, url: &str, ca: &str| {
            cluster.write_kubeconfig_for(name, url, ca, &token).unwrap()
        };
        Some(Self {
            direct: write("direct", &cluster.url(), &cluster.ca_pem()),
            through: write("through", &proxy.url, &proxy.authority.certificate_pem()),
            cluster,
            proxy,
        })
    }
}
