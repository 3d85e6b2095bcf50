//! Where a run takes place: a lab that is started, or a cluster.

use anyhow::{Result, bail};
use kube::Client;

use super::{
    args::{LabKind, RunArgs},
    lab::Lab,
};
use crate::commands::shared::{attached::Fleet, cluster::client_of, proxies::proxy_clients};
use cluster::client::Manner;
use driver::{
    client::{Tally, counted},
    pricing::{ApiServerWatch, Meter},
    proxies::ProxyClient,
};
use record::ClusterRecord;
use terminal::{exit::Misuse, tell};

/// Where a run takes place.
pub(super) struct Place {
    pub(super) lab: Option<Lab>,
    pub(super) client: Client,
    pub(super) tally: Tally,
    pub(super) cluster: ClusterRecord,
    pub(super) proxies: Vec<ProxyClient>,
    pub(super) fleet: Option<Fleet>,
}

impl Place {
    /// What reads what the API server does and takes, where that can be read.
    pub(super) fn api_server_watch(&self) -> Option<ApiServerWatch<'_>> {
        let meter = match &self.lab {
            Some(lab) => Some(Box::new(lab.meter()?) as Box<dyn Meter>),
            None => None,
        };
        Some(ApiServerWatch::new(self.client.clone(), meter))
    }
}

impl RunArgs {
    /// Starts the lab, or connects to the cluster; says which first.
    pub(super) async fn place(&self) -> Result<Place> {
        if self.cluster.is_given() {
            return self.cluster().await;
        }
        let is_given = !self.proxy.is_empty()
            || self.proxy_token_file.is_some()
            || self.discover.is_given()
            || self.metrics.is_given();
        if is_given {
            let options = "--proxy, --proxy-token-file, --proxy-via, --kubevirt-namespace and \
                           --component-metrics";
            bail!(Misuse(format!(
                "{options} are for a run on a cluster: add --kubeconfig, --context or --in-cluster"
            )));
        }
        if self.keep {
            let keep = "--keep is for a run on a cluster: a lab ends with the run, and its objects \
                        with it";
            bail!(Misuse(keep.to_owned()));
        }
        let lab = if self.lab == Some(LabKind::Real) {
            tell!(
                "lab: a real etcd and kube-apiserver on this machine; KubeVirt is SIMULATED (use \
                 --kubeconfig or --context for a cluster)"
            );
            Lab::real(self.nodes()).await?
        } else {
            tell!(
                "lab: an API server in this process; KubeVirt is SIMULATED (use --kubeconfig or \
                 --context for a cluster, --lab real for a real kube-apiserver)"
            );
            Lab::embedded(self.nodes()).await?
        };
        let (client, tally) = counted(lab.client.clone(), "default");
        Ok(Place {
            client,
            tally,
            cluster: ClusterRecord {
                server: lab.url(),
                ..ClusterRecord::default()
            },
            proxies: vec![lab.proxy()],
            fleet: None,
            lab: Some(lab),
        })
    }

    async fn cluster(&self) -> Result<Place> {
        let access = self.cluster.access()?;
        let mut cluster = ClusterRecord {
            server: access.upstream.url.clone(),
            context: access.context.clone(),
            ..ClusterRecord::default()
        };
        tell!(
            "cluster: server {}, context {}, namespace {}",
            cluster.server,
            cluster.context,
            self.namespace.as_deref().unwrap_or("(a new one)")
        );
        // What a client does again by itself would be a call that nobody asked for.
        let client = client_of(&access, Manner::default()).await?;
        let (client, tally) = counted(client, "default");
        let (proxies, fleet) = if self.proxy.is_empty() {
            let token = self.proxy_token_file.as_ref();
            let in_cluster = self.cluster.in_cluster;
            let fleet = Fleet::find(client.clone(), &self.discover, token, in_cluster).await?;
            cluster.kubevirt_version = fleet.kubevirt_version().to_owned();
            (fleet.proxies.clone(), Some(fleet))
        } else {
            let token = self.proxy_token_file.as_deref();
            (proxy_clients(&self.proxy, token)?, None)
        };
        Ok(Place {
            lab: None,
            client,
            tally,
            cluster,
            proxies,
            fleet,
        })
    }
}
