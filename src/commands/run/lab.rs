//! A lab: an API server, a proxy, and simulated components behind it.

use std::io;

use anyhow::{Context, Result};
use jiff::Timestamp;
use kube::Client;

use crate::commands::shared::{inner_proxy::InnerProxy, meters::LabMeter};
use classify::path_class;
use driver::proxies::ProxyClient;
use identity::{
    upstream::{CaSource, Upstream},
    way::Way,
};
use lab::{
    apiserver::LoggedRequest,
    embedded::EmbeddedLab,
    real::{Assets, RealCluster},
    simulation::{Identity, Simulation},
};
use proxy::Options;
use record::{AUDIT_CHECK, AUDIT_COUNT_CHECK, CallRecord, Check, RunRecord};
use terminal::limits::allow_open_files;
use verify::audit::{AuditEntry, AuditReader, verify};

/// How a run is compared with the API server's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    ByRequest,
    /// The run keeps no audit IDs.
    ByCount,
}

/// A lab that runs, until [`Lab::stop`].
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
    /// The embedded API server, with so many simulated nodes.
    pub(super) async fn embedded(nodes: usize) -> Result<Self> {
        // A request of a component has four ends of connections here.
        allow_open_files();
        let lab = EmbeddedLab::start().await?;
        let ca = lab.authority.certificate_pem();
        let proxy = start_proxy(&lab.url, ca).await?;
        let admin = lab.token_for("kubetoll", &["system:masters"]);
        let client = lab::client(&lab.url, &lab.authority, &admin, "kubetoll")?;
        let groups = ["system:serviceaccounts", "system:authenticated"];
        let connect = |identity: &Identity| {
            let token = lab.token_for(&identity.user(), &groups);
            lab::client(&proxy.url, &proxy.authority, &token, identity.program)
        };
        let simulation = Simulation::start(&client, &connect, Some(&lab.server), nodes).await?;
        Ok(Self {
            server: Server::Embedded(Box::new(lab)),
            proxy,
            simulation,
            client,
        })
    }

    /// A real etcd and kube-apiserver, with so many simulated nodes.
    pub(super) async fn real(nodes: usize) -> Result<Self> {
        // A request of a component has four ends of connections here.
        allow_open_files();
        let cluster = RealCluster::start(Assets::find()?, &[]).await?;
        let proxy = start_proxy(&cluster.url(), cluster.ca_pem()).await?;
        let client = cluster.admin_client()?;
        let tokens = cluster.prepare_kubevirt(&[]).await?;
        let connect = |identity: &Identity| {
            let account = (identity.namespace.to_owned(), identity.account.to_owned());
            let token = tokens.get(&account).cloned().unwrap_or_default();
            lab::client(&proxy.url, &proxy.authority, &token, identity.program)
        };
        let simulation = Simulation::start(&client, &connect, None, nodes).await?;
        Ok(Self {
            server: Server::Real(Box::new(cluster)),
            proxy,
            simulation,
            client,
        })
    }

    /// What its API server takes can be read; that of one in this process can't be told from all else
    /// here.
    pub(super) fn meter(&self) -> Option<LabMeter<'_>> {
        match &self.server {
            Server::Embedded(_) => None,
            Server::Real(cluster) => Some(LabMeter(cluster)),
        }
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

    /// Compares the run with what the API server itself logged.
    pub(super) fn check(&self, record: &RunRecord, how: Compared) -> Result<Check> {
        let log = match &self.server {
            Server::Embedded(lab) => lab.server.read_log(entry),
            Server::Real(cluster) => read_audit_log(cluster)?,
        };
        let found = verify(record, &log);
        let explained: u64 = found.explained.values().sum();
        let name = match how {
            Compared::ByRequest => AUDIT_CHECK,
            Compared::ByCount => AUDIT_COUNT_CHECK,
        };
        let as_wanted = found.by_request == (how == Compared::ByRequest);
        let ok = as_wanted && found.overlaps && found.unexplained_count == 0;
        let mut detail = format!(
            "{} requests equal, {explained} explained, {} unexplained",
            found.equal, found.unexplained_count
        );
        if !ok {
            detail.push_str(&format!("\n{}", report::text::verification(&found)));
        }
        Ok(Check {
            name: name.to_owned(),
            ok,
            detail,
        })
    }

    /// Stops components, proxy and API server.
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
    InnerProxy::start(&upstream, &Way::Direct, None, Options::default()).await
}

fn read_audit_log(cluster: &RealCluster) -> Result<Vec<AuditEntry>> {
    let path = cluster.audit_log();
    let log = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut reader = AuditReader::default();
    let mut entries = Vec::new();
    for line in log.split(|&byte| byte == b'\n') {
        let read = reader.line(line, |entry| entries.push(entry));
        read.map_err(io::Error::other)?;
    }
    Ok(entries)
}

/// A line of the embedded server's log in the words of an audit log.
fn entry(logged: LoggedRequest) -> AuditEntry {
    let path = if logged.resource.is_empty() {
        path_class(logged.path.as_bytes())
    } else {
        ""
    };
    AuditEntry {
        id: logged.audit_id,
        user: logged.user,
        impersonated: None,
        call: CallRecord {
            verb: logged.verb,
            group: logged.group,
            version: logged.version,
            resource: logged.resource,
            subresource: logged.subresource,
            path: path.to_owned(),
            ..CallRecord::default()
        },
        object: (logged.namespace, logged.name),
        code: logged.code.unwrap_or_default(),
        received: time(logged.received),
        staged: time(logged.answered),
    }
}

fn time(seconds: f64) -> Timestamp {
    Timestamp::from_microsecond((seconds * 1e6) as i64).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use tokio_util::sync::CancellationToken;

    use super::*;
    use driver::{
        Driver, Plan, Progress,
        client::counted,
        workload::{Scenario, Spec},
    };
    use record::{ClusterRecord, ProxyRun, RowRecord};

    struct Quiet;

    impl Progress for Quiet {
        fn phase(&self, _: &str) {}
        fn step(&self, _: usize, _: usize) {}
        fn warn(&self, _: &str) {}
    }

    async fn run(lab: &Lab) -> RunRecord {
        let (client, tally) = counted(lab.client.clone(), "default");
        let driver = Driver {
            client,
            tally,
            proxies: vec![lab.proxy()],
            roster: None,
            spool: None,
            window_hook: None,
            cluster: ClusterRecord::default(),
            progress: &Quiet,
            stop: CancellationToken::new(),
        };
        let plan = Plan {
            spec: Spec {
                scenario: Scenario::Vm,
                kwok: false,
            },
            count: 3,
            pause: Duration::ZERO,
            timeout: Duration::from_secs(60),
            settle: Duration::from_millis(500),
            baseline: Duration::ZERO,
            namespace: None,
            keep: false,
            primer: true,
            journal: true,
            simulated: true,
            configuration: BTreeMap::new(),
        };
        driver.run(&plan).await.unwrap()
    }

    /// A change of one booking: of the journal's line `at`, and of the rows that it counts in.
    type Mutation = fn(&mut ProxyRun, usize);

    /// A row where the run counts it and where the books do, so that both go wrong together.
    fn rows(proxy: &mut ProxyRun, id: u32) -> impl Iterator<Item = &mut RowRecord> {
        let rows = proxy.difference.iter_mut();
        rows.chain(&mut proxy.closed.snapshot.rows)
            .filter(move |row| row.id == id)
    }

    fn skip(proxy: &mut ProxyRun, at: usize) {
        let line = proxy.closed.journal.remove(at);
        rows(proxy, line.row).for_each(|row| row.answered -= 1);
    }

    fn double(proxy: &mut ProxyRun, at: usize) {
        let line = proxy.closed.journal[at].clone();
        rows(proxy, line.row).for_each(|row| row.answered += 1);
        proxy.closed.journal.push(line);
    }

    /// To the next row of the run, whatever distinguishes it: user, call or code.
    fn misattribute(proxy: &mut ProxyRun, at: usize) {
        let from = proxy.closed.journal[at].row;
        let place = proxy.difference.iter().position(|row| row.id == from);
        let next = (place.unwrap() + 1) % proxy.difference.len();
        let to = proxy.difference[next].id;
        proxy.closed.journal[at].row = to;
        rows(proxy, from).for_each(|row| row.answered -= 1);
        rows(proxy, to).for_each(|row| row.answered += 1);
    }

    fn skip_in_the_row(proxy: &mut ProxyRun, at: usize) {
        let id = proxy.closed.journal[at].row;
        rows(proxy, id).for_each(|row| row.answered -= 1);
    }

    fn double_in_the_row(proxy: &mut ProxyRun, at: usize) {
        let id = proxy.closed.journal[at].row;
        rows(proxy, id).for_each(|row| row.answered += 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_booking_skipped_doubled_or_misattributed_is_found() {
        identity::install_provider();
        let lab = Lab::embedded(4).await.unwrap();
        let record = run(&lab).await;
        let check = lab.check(&record, Compared::ByRequest).unwrap();
        assert!(check.ok && record.is_valid(), "{record:?} {check:?}");
        let bookings = record.proxies[0].closed.journal.len();
        assert!(bookings > 60, "{bookings}");
        let mutations: [(&str, Mutation); 5] = [
            ("skip", skip),
            ("double", double),
            ("misattribute", misattribute),
            ("skip in the row", skip_in_the_row),
            ("double in the row", double_in_the_row),
        ];
        for (name, mutate) in mutations {
            for at in 0..bookings {
                let mut mutant = record.clone();
                mutate(&mut mutant.proxies[0], at);
                let check = lab.check(&mutant, Compared::ByRequest).unwrap();
                assert!(!check.ok, "{name} of booking {at} was not found");
            }
        }
        lab.stop().await;
    }
}
