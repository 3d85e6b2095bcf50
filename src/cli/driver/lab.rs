//! A lab: an API server, a proxy, and simulated components behind it.

use std::io;

use anyhow::{Context, Result};
use jiff::Timestamp;
use kube::Client;

use super::inner_proxy::InnerProxy;
use crate::{
    audit::{AuditEntry, AuditReader, verify},
    classify::path_class,
    driver::proxies::ProxyClient,
    identity::upstream::{CaSource, Upstream},
    lab::{
        self,
        apiserver::LoggedRequest,
        embedded::EmbeddedLab,
        real::{Assets, RealCluster},
        simulation::{Simulation, Through},
    },
    proxy::Options,
    record::{AUDIT_CHECK, CallRecord, Check, RunRecord},
    report,
};

/// Simulated nodes.
const NODES: usize = 4;

/// A running lab.
pub(super) struct Lab {
    server: Server,
    proxy: InnerProxy,
    simulation: Simulation,
    /// The driver's client, straight to the API server.
    pub(super) client: Client,
}

enum Server {
    Embedded(Box<EmbeddedLab>),
    Real(Box<RealCluster>),
}

impl Lab {
    /// The embedded API server.
    pub(super) async fn embedded() -> Result<Self> {
        let lab = EmbeddedLab::start().await?;
        let ca = lab.authority.certificate_pem();
        let proxy = start_proxy(&lab.url, ca).await?;
        let admin = lab.token_for("kubetoll", &["system:masters"]);
        let client = lab::client(&lab.url, &lab.authority, &admin, "kubetoll")?;
        let token = |namespace: &str, account: &str| {
            let user = format!("system:serviceaccount:{namespace}:{account}");
            lab.token_for(&user, &["system:serviceaccounts", "system:authenticated"])
        };
        let through = Through {
            url: &proxy.url,
            authority: &proxy.authority,
            token: &token,
        };
        let simulation = Simulation::start(&client, &through, Some(&lab.server), NODES).await?;
        Ok(Self {
            server: Server::Embedded(Box::new(lab)),
            proxy,
            simulation,
            client,
        })
    }

    /// A real etcd and kube-apiserver.
    pub(super) async fn real() -> Result<Self> {
        let cluster = RealCluster::start(Assets::find()?, &[]).await?;
        let proxy = start_proxy(&cluster.url(), cluster.ca_pem()).await?;
        let client = cluster.admin_client()?;
        let tokens = cluster.prepare_kubevirt().await?;
        let token = |namespace: &str, account: &str| {
            tokens
                .get(&(namespace.to_owned(), account.to_owned()))
                .cloned()
                .unwrap_or_default()
        };
        let through = Through {
            url: &proxy.url,
            authority: &proxy.authority,
            token: &token,
        };
        let simulation = Simulation::start(&client, &through, None, NODES).await?;
        Ok(Self {
            server: Server::Real(Box::new(cluster)),
            proxy,
            simulation,
            client,
        })
    }

    /// The proxy's admin port.
    pub(super) fn proxy(&self) -> ProxyClient {
        self.proxy.admin.clone()
    }

    /// The API server's URL.
    pub(super) fn url(&self) -> String {
        match &self.server {
            Server::Embedded(lab) => lab.url.clone(),
            Server::Real(cluster) => cluster.url(),
        }
    }

    /// Compares the run with what the API server itself logged, request by request.
    pub(super) fn check(&self, record: &RunRecord) -> Result<Check> {
        let log = match &self.server {
            Server::Embedded(lab) => lab.server.request_log().iter().map(entry).collect(),
            Server::Real(cluster) => read_audit_log(cluster)?,
        };
        let found = verify(record, &log);
        let explained: u64 = found.explained.values().sum();
        let ok = found.by_request && found.overlaps && found.unexplained_count == 0;
        let mut detail = format!(
            "{} requests equal, {explained} explained, {} unexplained",
            found.equal, found.unexplained_count
        );
        if !ok {
            detail.push_str(&format!("\n{}", report::text::verification(&found)));
        }
        Ok(Check {
            name: AUDIT_CHECK.to_owned(),
            ok,
            detail,
        })
    }

    /// Stops everything.
    pub(super) async fn stop(self) {
        self.simulation.stop().await;
        self.proxy.stop().await;
        if let Server::Embedded(lab) = &self.server {
            lab.stop();
        }
    }
}

async fn start_proxy(url: &str, ca: String) -> Result<InnerProxy> {
    let upstream = Upstream {
        url: url.to_owned(),
        ca: CaSource::Pem(ca.into()),
        server_name: None,
    };
    InnerProxy::start(&upstream, None, Options::default()).await
}

fn read_audit_log(cluster: &RealCluster) -> Result<Vec<AuditEntry>> {
    let path = cluster.audit_log();
    let log = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut reader = AuditReader::default();
    let entries = log
        .split(|&byte| byte == b'\n')
        .map(|line| reader.line(line));
    let entries: Result<Vec<_>, _> = entries.collect();
    Ok(entries
        .map_err(io::Error::other)?
        .into_iter()
        .flatten()
        .collect())
}

/// A line of the embedded server's log in the words of an audit log.
fn entry(logged: &LoggedRequest) -> AuditEntry {
    let path = if logged.resource.is_empty() {
        path_class(logged.path.as_bytes())
    } else {
        ""
    };
    AuditEntry {
        id: logged.audit_id.clone(),
        user: logged.user.clone(),
        impersonated: None,
        call: CallRecord {
            verb: logged.verb.clone(),
            group: logged.group.clone(),
            version: logged.version.clone(),
            resource: logged.resource.clone(),
            subresource: logged.subresource.clone(),
            path: path.to_owned(),
            ..CallRecord::default()
        },
        object: (logged.namespace.clone(), logged.name.clone()),
        code: logged.code.unwrap_or_default(),
        received: time(logged.received),
        staged: time(logged.answered),
    }
}

fn time(seconds: f64) -> Timestamp {
    Timestamp::from_microsecond((seconds * 1e6) as i64).unwrap_or(Timestamp::UNIX_EPOCH)
}
