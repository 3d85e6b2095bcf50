//! A real control plane on this machine: etcd and kube-apiserver, as controller-runtime's envtest
//! runs them. No kubelet, no scheduler, no controllers: the lab's simulated components play those.

mod assets;
mod error;
mod gc_trace;
mod kubevirt;
mod process;
mod usage;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use http::StatusCode;
use kube::Client;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

pub use assets::Assets;
pub use error::RealError;
use error::io_error;
use gc_trace::GcTrace;
use process::{Process, free_port};
pub use usage::ProcessUsage;

use cluster::kubeconfig::{Credential, kubeconfig, write_private};
use identity::mint::{self, Authority};

/// Longest wait for a process to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_PAUSE: Duration = Duration::from_millis(100);

/// One event where a request ends, and one where a long-running response starts.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// A running control plane. Its processes end and its files go when it is dropped.
pub struct RealCluster {
    apiserver: Process,
    apiserver_collections: GcTrace,
    etcd: Process,
    authority: Authority,
    admin_token: String,
    port: u16,
    dir: TempDir,
    assets: Assets,
    extra_flags: Vec<String>,
}

impl RealCluster {
    /// Starts etcd and kube-apiserver on free ports of the loopback address. `extra_flags` go to
    /// kube-apiserver.
    pub async fn start(assets: Assets, extra_flags: &[String]) -> Result<Self, RealError> {
        let dir = tempfile::Builder::new()
            .prefix("kubetoll-lab-")
            .tempdir()
            .map_err(|source| io_error("cannot make a folder for the lab", source))?;
        let authority = Authority::new("kubetoll-lab")?;
        let admin_token = format!("{:032x}", rand::random::<u128>());
        write_files(dir.path(), &authority, &admin_token)?;
        let etcd = start_etcd(&assets, dir.path()).await?;
        let port = free_port().map_err(|source| io_error("no free port", source))?;
        let apiserver = start_apiserver(&assets, dir.path(), port, extra_flags)?;
        let mut cluster = Self {
            apiserver,
            apiserver_collections: GcTrace::default(),
            etcd,
            authority,
            admin_token,
            port,
            dir,
            assets,
            extra_flags: extra_flags.to_vec(),
        };
        // A port that was free may be taken a moment later: once more with another.
        if cluster.wait_until_ready().await.is_err() {
            cluster.port = free_port().map_err(|source| io_error("no free port", source))?;
            cluster.restart_apiserver().await?;
        }
        Ok(cluster)
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The CA of the serving certificate, PEM; client certificates that it signs are accepted too.
    pub fn ca_pem(&self) -> String {
        self.authority.certificate_pem()
    }

    /// The CA of all certificates of the lab.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A token of the group `system:masters`.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// Path of kube-apiserver's audit log, one JSON event a line.
    pub fn audit_log(&self) -> PathBuf {
        self.dir.path().join("audit.log")
    }

    /// Where the binaries are.
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// Writes a kubeconfig for `server`, whose CA is `ca_pem`, into the lab's folder.
    pub fn write_kubeconfig_for(
        &self,
        name: &str,
        server: &str,
        ca_pem: &str,
        credential: &Credential,
    ) -> Result<PathBuf, RealError> {
        let path = self.dir.path().join(name);
        let config = kubeconfig(server, ca_pem.as_bytes(), credential);
        write_private(&path, config.to_string().as_bytes())
            .map_err(|source| io_error("cannot write a kubeconfig", source))?;
        Ok(path)
    }

    /// A client with the admin's rights, straight to the API server.
    pub fn admin_client(&self) -> Result<Client, RealError> {
        self.client(&self.url(), &self.admin_token)
    }

    /// A client of `server` with that token.
    pub fn client(&self, server: &str, token: &str) -> Result<Client, RealError> {
        super::client(server, &self.authority, token, "kubetoll").map_err(|source| RealError::Api {
            what: "cannot make a client",
            source: Box::new(source),
        })
    }

    /// Kills kube-apiserver, as a crash would.
    pub async fn kill_apiserver(&mut self) {
        self.apiserver.kill().await;
    }

    /// Starts kube-apiserver again on its port, after [`kill_apiserver`](Self::kill_apiserver).
    pub async fn restart_apiserver(&mut self) -> Result<(), RealError> {
        self.apiserver =
            start_apiserver(&self.assets, self.dir.path(), self.port, &self.extra_flags)?;
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&mut self) -> Result<(), RealError> {
        let client = self.admin_client()?;
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let request = http::Request::get("/readyz").body(Vec::new());
            if let Ok(request) = request
                && let Ok(response) = client.send(request.map(Into::into)).await
                && response.status() == StatusCode::OK
            {
                return Ok(());
            }
            if self.apiserver.has_ended() || Instant::now() > deadline {
                return Err(self.apiserver.not_ready());
            }
            sleep(READY_PAUSE).await;
        }
    }
}

fn write_files(dir: &Path, authority: &Authority, admin_token: &str) -> Result<(), RealError> {
    let names = [
        "127.0.0.1",
        "localhost",
        "kubernetes",
        "kubernetes.default.svc",
    ];
    let leaf = authority.serving("kube-apiserver", &names.map(str::to_owned))?;
    let (private, public) = mint::signing_key()?;
    let tokens = format!("{admin_token},admin,admin,\"system:masters\"\n");
    let files = [
        ("ca.crt", authority.certificate_pem()),
        ("apiserver.crt", leaf.certificate_pem),
        ("apiserver.key", leaf.key_pem),
        ("sa.key", private),
        ("sa.pub", public),
        ("tokens.csv", tokens),
        ("audit-policy.yaml", AUDIT_POLICY.to_owned()),
    ];
    for (name, content) in files {
        write_private(&dir.join(name), content.as_bytes())
            .map_err(|source| io_error(format!("cannot write {name}"), source))?;
    }
    Ok(())
}

/// A socket in the lab's folder, which is the working directory of both processes: no other
/// process can be found there by mistake, as it could on a port.
const ETCD_URL: &str = "unix://localhost:1";
const ETCD_SOCKET: &str = "localhost:1";

async fn start_etcd(assets: &Assets, dir: &Path) -> Result<Process, RealError> {
    let arguments = [
        "--data-dir=etcd".to_owned(),
        format!("--listen-client-urls={ETCD_URL}"),
        format!("--advertise-client-urls={ETCD_URL}"),
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
        "--initial-advertise-peer-urls=http://127.0.0.1:0".to_owned(),
        "--initial-cluster=default=http://127.0.0.1:0".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    let mut etcd = Process::start("etcd", &assets.etcd(), &arguments, None, dir)?;
    let deadline = Instant::now() + READY_TIMEOUT;
    while tokio::net::UnixStream::connect(dir.join(ETCD_SOCKET))
        .await
        .is_err()
    {
        if etcd.has_ended() || Instant::now() > deadline {
            return Err(etcd.not_ready());
        }
        sleep(READY_PAUSE).await;
    }
    Ok(etcd)
}

fn start_apiserver(
    assets: &Assets,
    dir: &Path,
    port: u16,
    extra_flags: &[String],
) -> Result<Process, RealError> {
    let file = |name: &str| dir.join(name).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers={ETCD_URL}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", file("apiserver.crt")),
        format!("--tls-private-key-file={}", file("apiserver.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        format!("--service-account-key-file={}", file("sa.pub")),
        format!("--service-account-signing-key-file={}", file("sa.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        // Pods name no service account here, and there is no controller that would make one.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--audit-policy-file={}", file("audit-policy.yaml")),
        format!("--audit-log-path={}", file("audit.log")),
        "--audit-log-mode=blocking".to_owned(),
        // MiB; what was rotated away could not be compared.
        "--audit-log-maxsize=100000".to_owned(),
    ];
    arguments.extend_from_slice(extra_flags);
    let binary = assets.kube_apiserver();
    let variable = Some(gc_trace::VARIABLE);
    Process::start("kube-apiserver", &binary, &arguments, variable, dir)
}
